"""The benchmark runs, compares only what is comparable, and says what it leaves out; nothing here is timed."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import memory
import numpy as np
import pytest
import run
import step
from chart import draw
from frameworks import FRAMEWORKS, YARDSTICK, Framework, load, missing
from report import markdown, plain, table
from results import Result, disagreement
from workloads import UnavailableError, scores

HAND = FRAMEWORKS[YARDSTICK].title


def bench(*options):
    command = [sys.executable, str(Path(run.__file__)), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def times(minimum, median, checks=(0.7, 0.6), first=0.5):
    return {"minimum": minimum, "median": median, "checks": list(checks), "first seconds": first, "n": 3}


def lengths(*minima):
    """What a growing chain prints, up to where it ends."""
    return [{"operations": 10**i, "minimum": m, "checks": [1.0]} for i, m in enumerate(minima, 2)]


RESULTS = [
    Result(
        "moons",
        {
            YARDSTICK: [times(40, 50), times(50, 60), times(45, 52)],
            "eager": [times(120, 130), times(100, 110), times(110, 600)],
            "jax": [times(20, 26, first=2.5), times(30, 40, first=0.1), times(25, 39)],
        },
        {"torch": "torch is not installed"},
    ),
    Result(
        "growth",
        {YARDSTICK: lengths(10, 100, 1000, 10000), "micrograd": lengths(100)},
        {"micrograd": "RecursionError"},
    ),
    Result("memory", {YARDSTICK: [{"held": 3e7, "more": 2e7}], "eager": [{"held": 4e7, "more": 3e7}]}, {}),
]


def test_the_benchmark_prints_the_machine_and_a_ratio_for_every_framework(tmp_path):
    frameworks = ["eager", "eager-debug"]
    few = ["--seconds", "0.02", "--rounds", "1", "--workloads", "moons", "chain", "--frameworks", *frameworks]
    result = bench(*few, "--output", str(tmp_path / "new" / "folder"))
    assert (result.returncode, result.stderr) == (0, "")
    assert f"NumPy {np.__version__}" in result.stdout
    assert "moons 2-16-16-2, batch 100" in result.stdout
    assert "digits" not in result.stdout
    rows = re.findall(r"^([^\d\n]+?) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", result.stdout, re.MULTILINE)
    names = [FRAMEWORKS[name].title for name in [YARDSTICK, *frameworks]]
    assert [row[0] for row in rows] == [*names, *names[:-1]]  # the readers are imported beside moons and digits only
    yardstick = rows[0]
    for name, minimum, ratio, median, median_ratio in rows[: len(names)]:
        assert 0 < float(minimum) <= float(median)
        assert float(ratio) == pytest.approx(float(minimum) / float(yardstick[1]), abs=0.01), name
        assert float(median_ratio) == pytest.approx(float(median) / float(yardstick[3]), abs=0.01), name
    numbers = json.loads((tmp_path / "new" / "folder" / "measured.json").read_text())
    assert [found["workload"] for found in numbers["results"]] == ["moons", "chain"]
    assert "| moons 2-16-16-2, batch 100 |" in (tmp_path / "new" / "folder" / "measured.md").read_text()


def test_a_table_tells_the_best_minimum_and_the_median_of_medians():
    assert table(RESULTS[0]) == [
        ["", "minimum us", "ratio", "median us", "ratio", "first call s"],
        [HAND, "40.0", "1.00", "52.0", "1.00", ""],
        ["tinygrad_sm", "100.0", "2.50", "130.0", "2.50", ""],
        ["jax.jit", "20.0", "0.50", "39.0", "0.75", "2.50"],
    ]
    assert plain(RESULTS[0]).endswith("left out: PyTorch: torch is not installed")


def test_a_chain_that_ends_says_where_and_why():
    head, *rows = table(RESULTS[1])
    assert head[1:] == ["100", "1,000", "10,000", "100,000"]
    assert rows == [[HAND, *["0.100"] * 4], ["micrograd", "1.000", *["RecursionError"] * 3]]
    assert "left out" not in plain(RESULTS[1])


def test_memory_is_told_as_what_the_steps_add():
    assert table(RESULTS[2])[1:] == [[HAND, "20.0", "1.00", "30"], ["tinygrad_sm", "30.0", "1.50", "40"]]


def test_the_written_table_begins_with_all_ratios():
    text = markdown(RESULTS, ["a machine", "its versions"])
    assert "a machine  \nits versions" in text
    assert "| moons 2-16-16-2, batch 100 | 40.0 us | 2.50 | 0.50 |" in text
    assert "| micrograd | 1.000 | RecursionError | RecursionError | RecursionError |" in text
    assert "- left out: PyTorch: torch is not installed" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| moons")}
    assert widths == {5}


@pytest.mark.extra
def test_the_chart_is_drawn_of_what_was_timed(tmp_path):
    assert draw(RESULTS, tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")
    assert not draw(RESULTS[1:], tmp_path / "none.png")


def test_without_matplotlib_there_is_no_chart(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not draw(RESULTS, tmp_path / "ratios.png")
    assert not list(tmp_path.iterdir())


def test_different_numbers_are_no_comparison():
    assert disagreement([0.7, 0.60005], [0.7, 0.6]) == ""
    for numbers in ([0.7, 0.6002], [float("nan"), 0.6]):
        assert disagreement(numbers, [0.7, 0.6]) == f"it computes {numbers} instead of [0.7, 0.6]"


def measured(monkeypatch, processes, workload="moons", rounds=2):
    """What is made of prepared answers: for each framework the rows that its processes print, and a reason to stop."""
    answers = {name: iter(found) for name, found in processes.items()}
    monkeypatch.setattr(run, "in_a_process", lambda name, *_: next(answers[name]))
    return run.measure(workload, list(processes), 0.1, rounds, "")


def test_who_computes_other_numbers_is_left_out_in_whatever_round(monkeypatch):
    good, other = ([times(1, 2)], ""), ([times(1, 2, checks=(0.7, 0.5))], "")
    found = measured(monkeypatch, {YARDSTICK: [good, good], "eager": [good, other], "jax": [good, good]})
    assert list(found.rounds) == [YARDSTICK, "jax"]
    assert found.left_out == {"eager": "failed: it computes [0.7, 0.5] instead of [0.7, 0.6]"}


def test_who_cannot_compute_it_is_not_asked_again(monkeypatch):
    good, no = ([times(1, 2)], ""), ([], "not within 120 s")
    found = measured(monkeypatch, {YARDSTICK: [good, good], "torch-compile": [no]})
    assert found.left_out == {"torch-compile": "not within 120 s"}
    assert [len(rows) for rows in found.rounds.values()] == [2]


def test_of_a_growing_chain_what_was_measured_stays(monkeypatch):
    processes = {YARDSTICK: [(lengths(1, 2, 3, 4), "")], "micrograd": [(lengths(1), "RecursionError")]}
    found = measured(monkeypatch, processes, "growth")
    assert found.rounds["micrograd"] == lengths(1)
    assert found.left_out == {"micrograd": "RecursionError"}


def test_without_the_yardstick_there_is_no_benchmark(monkeypatch):
    with pytest.raises(SystemExit, match="NumPy by hand on moons: failed: MemoryError"):
        measured(monkeypatch, {YARDSTICK: [([], "failed: MemoryError")]})


def test_a_process_that_fails_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "HERE", tmp_path)
    (tmp_path / "step.py").write_text("print('{\"n\": 1}', flush=True)\nraise ValueError('so it is')")
    assert run.in_a_process(YARDSTICK, "moons", 0.1, str(tmp_path)) == ([{"n": 1}], "failed: ValueError: so it is")


def test_a_process_that_takes_too_long_is_ended_and_what_it_printed_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "GROWTH_LIMIT", 0.4)
    (tmp_path / "step.py").write_text("import time\nprint('{\"n\": 1}', flush=True)\ntime.sleep(60)")
    rows, reason = run.in_a_process(YARDSTICK, "growth", 0.1, str(tmp_path))
    assert rows in ([{"n": 1}], [])  # a slow machine may not have started it
    assert reason == "not within 0 s"


def test_what_is_missing_is_named():
    assert missing(Framework("it", "with_it", needs=("json", "no_such_package"))) == "no_such_package is not installed"
    assert "no_such_compiler" in missing(Framework("it", "with_it", compiler=("NO_SUCH_VARIABLE", "no_such_compiler")))
    assert missing(FRAMEWORKS[YARDSTICK]) == ""
    with pytest.raises(UnavailableError, match="no_such_package is not installed"):
        load(Framework("it", "with_it", needs=("no_such_package",)))


def test_every_module_of_a_framework_is_there():
    folder = Path(run.__file__).parent
    modules = {framework.module for framework in FRAMEWORKS.values()}
    assert {path.stem for path in folder.glob("with_*.py")} == {name for name in modules if name.startswith("with_")}
    assert all((folder / f"{module}.py").exists() for module in modules)


def test_a_kernel_shows_its_loss_and_two_numbers_of_its_gradient():
    (result,) = step.time_of(YARDSTICK, "logsumexp-128x10", 0.001)
    z = scores("logsumexp-128x10").logits.astype(float)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    loss = np.log(np.exp(z).sum(axis=1)).sum()
    assert result["checks"] == pytest.approx([loss, np.sqrt((p * p).sum()), (p * z).sum()], rel=1e-6)
    assert result["n"] >= 3


@pytest.mark.parametrize("framework", [YARDSTICK, "preallocated", "eager"])
def test_the_chain_grows(framework, monkeypatch):
    monkeypatch.setattr(step, "GROWTH", (100, 2000))
    rows = list(step.growing_chain(framework, 0.001))
    assert [row["operations"] for row in rows] == [100, 2000]
    for row, links in zip(rows, (50, 1000), strict=True):
        power = (1 - 2**-10) ** links
        np.testing.assert_allclose(row["checks"], [1 + power, power], rtol=1e-4)


@pytest.mark.parametrize("framework", [YARDSTICK, "eager"])
def test_the_memory_of_the_steps_holds_the_parameters_at_least(framework):
    command = [sys.executable, str(Path(step.__file__)), framework, "memory"]
    process = subprocess.run(command, capture_output=True, text=True, check=True, env=run.environment("."))
    result = json.loads(process.stdout)
    assert 1_863_690 * 4 < result["more"] < 300e6
    assert result["checks"] == pytest.approx([2.41249, 2.15772], abs=1e-4)


def test_a_peak_is_seen_after_it_has_passed(monkeypatch):
    before = memory.forget_peak() or memory.peak()
    np.ones(10_000_000)
    peak = memory.peak()
    assert peak - before > 70e6
    monkeypatch.setattr(Path, "exists", lambda path: False)  # as on macOS
    assert memory.peak() >= 0.9 * peak


def test_where_the_system_does_not_tell_the_peak_it_is_not_measured(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="not measured"):
        memory.peak()


@pytest.mark.parametrize(
    "options",
    [
        ("--workloads", "imagenet"),
        ("--frameworks", "keras"),
        ("--rounds", "0"),
        ("--rounds", "many"),
        ("--seconds", "0"),
        ("--seconds", "nan"),
        ("--output", __file__),
    ],
)
def test_a_bad_option_is_refused_with_status_2(options, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", *options])
    with pytest.raises(SystemExit) as refused:
        run.options()
    assert refused.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert options[0] in err


def test_options_that_are_given_win_over_those_of_quick(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--rounds", "7", "--output", str(tmp_path)])
    arguments = run.options()
    assert (arguments.workloads, arguments.seconds, arguments.rounds) == (run.QUICK, 0.2, 7)
    assert run.SLOW not in arguments.frameworks
