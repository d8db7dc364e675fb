"""Every framework of the benchmark computes the same step, and the benchmark runs; nothing here is timed."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import run
from step import FRAMEWORKS, build
from workloads import LEARNING_RATE, WORKLOADS, problem

# After one step and after ten. They hold the random numbers of a workload in place: results of other days and of other
# programs on the same workload stay comparable.
LOSSES = {"moons": (0.70777, 0.70645), "digits": (2.52924, 2.39267), "mnist": (2.56591, 2.25939)}


def losses_by_the_textbook(workload, steps):
    """Unfused float64: one-hot labels, a plain softmax, and the chain rule one factor at a time."""
    X, labels, layers = problem(workload)
    weights = [W.astype(float) for W, _ in layers]
    biases = [b.astype(float) for _, b in layers]
    wanted = np.eye(len(biases[-1]))[labels]
    losses = []
    for _ in range(steps):
        sums, outputs = [], [X.astype(float)]
        for W, b in zip(weights, biases, strict=True):
            sums.append(np.einsum("ni,io->no", outputs[-1], W) + b)
            outputs.append(np.where(sums[-1] > 0, sums[-1], 0))
        p = np.exp(sums[-1]) / np.exp(sums[-1]).sum(axis=1, keepdims=True)
        losses.append(-np.sum(wanted * np.log(p)) / len(X))
        g = (p - wanted) / len(X)
        for i in reversed(range(len(weights))):
            slope_W, slope_b = np.einsum("ni,no->io", outputs[i], g), np.einsum("no->o", g)
            if i:
                g = np.einsum("no,io->ni", g, weights[i]) * np.heaviside(sums[i - 1], 0)
            weights[i] -= LEARNING_RATE * slope_W
            biases[i] -= LEARNING_RATE * slope_b
    return losses


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_framework_computes_the_losses_of_the_textbook(workload):
    expected = losses_by_the_textbook(workload, 10)
    for framework in FRAMEWORKS:
        step = build(framework, workload)
        np.testing.assert_allclose([step() for _ in range(10)], expected, rtol=0, atol=1e-5, err_msg=framework)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_numbers_of_a_workload_stay_the_same(workload):
    step = build(run.YARDSTICK, workload)
    losses = [step() for _ in range(10)]
    np.testing.assert_allclose([losses[0], losses[9]], LOSSES[workload], rtol=0, atol=1e-5)


def test_each_call_of_problem_returns_arrays_of_its_own():
    first, second = problem("moons"), problem("moons")
    first.layers[0][0][:] = 0
    assert second.layers[0][0].all()


def bench(*options):
    command = [sys.executable, str(Path(run.__file__)), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_benchmark_prints_the_machine_and_a_ratio_for_every_framework():
    result = bench("--seconds", "0.05", "--rounds", "1", "--workloads", "moons")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"NumPy {np.__version__}" in result.stdout
    assert "moons: 2-16-16-2, batch 100" in result.stdout
    assert "digits" not in result.stdout
    rows = {
        match[1].rstrip(): match
        for match in re.finditer(r"^([^\d\n]+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", result.stdout, re.M)
    }
    assert list(rows) == list(FRAMEWORKS)
    yardstick = rows[run.YARDSTICK]
    for name, row in rows.items():
        minimum, ratio, median, median_ratio = map(float, row.groups()[1:])
        assert 0 < minimum <= median
        assert ratio == pytest.approx(minimum / float(yardstick[2]), abs=0.006), name
        assert median_ratio == pytest.approx(median / float(yardstick[4]), abs=0.006), name


def test_different_losses_are_no_comparison():
    expected = {"framework": "a", "workload": "moons", "losses": [0.7, 0.6]}
    run.require_equal_losses({**expected, "losses": [0.7, 0.60005]}, expected)
    for losses in ([0.7, 0.6002], [float("nan"), 0.6]):
        with pytest.raises(SystemExit, match="b and a differ on moons"):
            run.require_equal_losses({**expected, "framework": "b", "losses": losses}, expected)


@pytest.mark.parametrize("options", [("--workloads", "imagenet"), ("--rounds", "0")])
def test_a_bad_option_is_refused_with_status_2(options):
    result = bench(*options)
    assert (result.returncode, result.stdout) == (2, "")
    assert options[0] in result.stderr
