"""The command line trains, resumes, evaluates and predicts, and says in one line what it cannot do."""

import csv
import gzip
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_sm import data, train
from tinygrad_sm.__main__ import main
from tinygrad_sm.nn import MLP

ROOT = Path(__file__).parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test runs in an empty folder, and without the extras, so that it does the same on every machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "tqdm", None)


@pytest.fixture
def run(capsys):
    """Run a command in this process and return its exit status and what it printed."""

    def call(*arguments):
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def command(*arguments):
    return [sys.executable, "-W", "error", "-m", "tinygrad_sm", *map(str, arguments)]


def write_csv(path, names, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    return path


@pytest.fixture
def flowers():
    """A table with two classes that a line parts, features of very different size."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    names = np.where(x[:, 0] + x[:, 1] > 0, "rose", "thistle")
    rows = [[f"{1000 + 50 * a:.3f}", f"{0.001 * b:.8f}", name] for (a, b), name in zip(x, names, strict=True)]
    return write_csv("flowers.csv", ["height", "width", "name"], rows)


@pytest.fixture
def houses():
    """A table with a number to predict, which is large and far from 0."""
    rng = np.random.default_rng(1)
    x = rng.uniform(1, 5, size=(200, 2))
    rows = [[f"{a:.4f}", f"{50_000 * a + 20_000 * b + 10**6:.0f}", f"{b:.4f}"] for a, b in x]
    return write_csv("houses.csv", ["rooms", "price", "floors"], rows)


def weights(path):
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "header"}


def assert_same_weights(first, second):
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def accuracy_in(text):
    found = re.search(r"accuracy ([\d.]+)% \((\d+) of (\d+)\)", text)
    assert float(found[1]) == pytest.approx(100 * int(found[2]) / int(found[3]), abs=0.005)
    return float(found[1])


# training


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3, 4))])
def test_the_defaults_read_97_of_100_digits(seed, run):
    status, out, err = run("train", "--seed", seed)
    assert (status, err) == (0, "")
    assert accuracy_in(out) >= 97
    saved = train.load_model("runs/digits/model.npz")
    test = data.load_digits(scale=False).split(0.2, rng=seed)[1]
    assert len(test) == 359
    right = np.mean(saved.predict(test.inputs) == test.targets)  # measured by us, on a split that we made
    assert 100 * right == pytest.approx(accuracy_in(out), abs=0.005)


def test_it_prints_progress_a_confusion_matrix_and_what_it_wrote(run):
    status, out, _ = run("train", "--epochs", 2, "--output", "here")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "digits (8 x 8, 10 classes): 1295 to train, 143 to validate, 359 to test"
    assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    start = lines.index("wrote")
    counts = [line[7:].split()[:10] for line in lines[start - 11 : start - 1]]
    assert sum(int(cell) for row in counts for cell in row if cell != ".") == 359
    listed = [line.split()[0] for line in lines[start + 1 :] if line.startswith("  ")]
    assert listed == [str(Path("here", name)) for name in ("model.npz", "history.csv", "checkpoint.npz")]
    assert sorted(os.listdir("here")) == ["checkpoint.npz", "history.csv", "model.npz"]
    assert "curves were left out: matplotlib is not installed" in lines[-1]


def test_the_history_is_that_of_the_run(run):
    _, out, _ = run("train", "--epochs", 3, "--output", "here")
    with open("here/history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        assert f"loss {float(row['train_loss']):.4f}, " in out
        assert f"validation loss {float(row['validation_loss']):.4f}, " in out


@pytest.mark.extra
def test_with_matplotlib_it_draws_curves(run, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib")
    monkeypatch.delitem(sys.modules, "matplotlib.figure")
    _, out, _ = run("train", "--epochs", 1, "--output", "here")
    assert Path("here/curves.png").read_bytes().startswith(b"\x89PNG")
    assert str(Path("here", "curves.png")) in out


def test_quiet_prints_the_result_alone(run):
    _, out, err = run("train", "--epochs", 1, "--quiet")
    assert out.startswith("test accuracy")
    assert "epoch" not in out
    assert err == ""


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(run, flowers):
    for seed, output in ((1, "a"), (1, "b"), (2, "c")):
        assert run("train", "--data", flowers, "--epochs", 3, "--seed", seed, "--output", output)[0] == 0
    assert_same_weights("a/model.npz", "b/model.npz")
    first, other = weights("a/model.npz"), weights("c/model.npz")
    assert not np.array_equal(first["model/0.weight"], other["model/0.weight"])


def test_a_second_run_in_the_same_folder_replaces_the_first(run, flowers):
    run("train", "--data", flowers, "--epochs", 4, "--output", "here")
    assert run("train", "--data", flowers, "--epochs", 2, "--output", "here")[0] == 0
    run("train", "--data", flowers, "--epochs", 2, "--output", "there")
    assert_same_weights("here/model.npz", "there/model.npz")
    assert len(Path("here/history.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("options", "model"),
    [
        (["--hidden", 6, 5], "MLP([64, 6, 5, 10], dropout=0.2)"),
        (["--hidden"], "MLP([64, 10])"),
        (["--hidden", 6, "--activation", "tanh", "--dropout", 0], "MLP([64, 6, 10], 'tanh')"),
        (["--hidden", 6, "--optimizer", "sgd", "--momentum", 0.5, "--weight-decay", 0.01, "--lr", 0.1], None),
        (["--hidden", 6, "--optimizer", "adam", "--batch-size", 200, "--label-smoothing", 0], None),
        (["--hidden", 6, "--validation", 0], None),
    ],
)
def test_options_reach_the_network(options, model, run):
    status, out, err = run("train", "--epochs", 1, "--output", "here", *options)
    assert (status, err) == (0, "")
    if model:
        assert repr(train.load_model("here/model.npz").model) == repr(eval(model))
    assert ("validation" in out) == ("--validation" not in options)
    assert ("label smoothing" in out) == ("--label-smoothing" not in options)


assert MLP  # for the expressions above


def test_patience_stops_early_and_goes_back_to_the_best_epoch(run, flowers):
    options = ("--data", flowers, "--optimizer", "sgd", "--lr", 0.5, "--hidden", 64, "--epochs", 400)
    status, out, _ = run("train", *options, "--patience", 3, "--output", "stopped")
    assert status == 0
    epochs, best = map(int, re.search(r"stopped after epoch (\d+): .* those of epoch (\d+)", out).groups())
    assert epochs == best + 3
    run("train", *options[:-1], best, "--output", "short")  # a run that ended there
    assert_same_weights("stopped/model.npz", "short/model.npz")


# resuming


@pytest.mark.parametrize("options", [["--optimizer", "sgd"], ["--optimizer", "adam", "--patience", 30]])
def test_a_resumed_run_ends_with_the_same_bits(options, run, flowers):
    options = ["--data", flowers, "--hidden", 16, "--dropout", 0.3, *options]
    run("train", *options, "--epochs", 7, "--output", "whole")
    run("train", *options, "--epochs", 3, "--output", "parts")
    status, out, _ = run("train", "--resume", "--epochs", 7, "--output", "parts")
    assert status == 0
    assert [line.split()[1] for line in out.splitlines() if line.startswith("epoch")] == ["4/7", "5/7", "6/7", "7/7"]
    assert_same_weights("whole/model.npz", "parts/model.npz")
    assert_same_weights("whole/checkpoint.npz", "parts/checkpoint.npz")


def test_ctrl_c_says_how_to_go_on_and_that_ends_with_the_same_bits(flowers, run):
    process = subprocess.Popen(
        command("train", "--data", flowers, "--epochs", 100_000, "--output", "my runs"),
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = 0
    while seen < 25:
        seen += process.stdout.readline().startswith("epoch")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    first, second = errors.splitlines()
    done = int(re.match(r"interrupted after (\d+) of 100000 epochs", first)[1])
    assert done >= 25
    python, dash_m, package, *advice = shlex.split(second)
    assert (python, dash_m, package) == ("python", "-m", "tinygrad_sm")

    assert run(*advice, "--epochs", done + 2)[0] == 0
    run("train", "--data", flowers, "--epochs", done + 2, "--output", "whole")
    assert_same_weights("whole/model.npz", "my runs/model.npz")


def test_a_run_can_be_resumed_from_another_folder(run, flowers, tmp_path, monkeypatch):
    run("train", "--data", flowers, "--epochs", 2, "--output", "here")
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    assert run("train", "--resume", "--epochs", 3, "--output", "../here")[0] == 0
    assert run("train", "--resume", "--data", "../flowers.csv", "--epochs", 4, "--output", "../here")[0] == 0


# other data


def test_a_table_with_classes(run, flowers):
    status, out, err = run("train", "--data", flowers, "--output", "here")
    assert (status, err) == (0, "")
    assert accuracy_in(out) > 90
    saved = train.load_model("here/model.npz")
    assert (saved.class_names, saved.feature_names) == (("rose", "thistle"), ("height", "width"))
    # Standardised by the training part alone, which no test example may touch.
    training = data.load_csv(flowers).split(0.2, rng=0)[0].split(0.1, rng=0)[0]
    np.testing.assert_allclose(saved.inputs.mean, training.inputs.mean(axis=0, dtype=float), rtol=1e-5)
    np.testing.assert_allclose(saved.inputs.std, training.inputs.std(axis=0, dtype=float), rtol=1e-5)


def test_a_table_with_a_number_to_predict(run, houses):
    options = ("--target", "price", "--dropout", 0, "--epochs", 60)
    status, out, err = run("train", "--data", houses, *options, "--output", "here")
    assert (status, err) == (0, "")
    assert "accuracy" not in out
    error = float(re.search(r"test root mean squared error (\S+) on 40 examples", out)[1])
    assert error < 10_000  # of prices that differ by 60,000
    assert run("predict", "here/model.npz", houses, "--output", "predicted.csv")[0] == 0
    with open("predicted.csv", newline="") as predicted, open(houses, newline="") as truth:
        pairs = [
            (float(p["prediction"]), float(t["price"]))
            for p, t in zip(csv.DictReader(predicted), csv.DictReader(truth), strict=True)
        ]
    assert len(pairs) == 200
    ours, theirs = np.array(pairs).T
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 10_000


def write_mnist(folder, parts):
    """Pictures of two kinds, bright above or below, in the files of MNIST."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for part, count in parts.items():
        labels = np.arange(count, dtype=np.uint8) % 2
        images = rng.integers(0, 60, size=(count, 6, 6), dtype=np.uint8)
        images[labels == 0, :3] += 180
        images[labels == 1, 3:] += 180
        content = struct.pack(">4I", 0x803, count, 6, 6) + images.tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(content)
        packed = gzip.compress(struct.pack(">2I", 0x801, count) + labels.tobytes())
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(packed)
    return folder


def test_a_folder_with_both_parts_of_mnist(run, tmp_path):
    folder = write_mnist(tmp_path / "mnist", {"train": 100, "t10k": 30})
    status, out, err = run("train", "--data", folder, "--epochs", 5)
    assert (status, err) == (0, "")
    assert out.startswith("mnist (6 x 6, 10 classes): 90 to train, 10 to validate, 30 to test")
    assert accuracy_in(out) == 100
    assert "test accuracy 100.00% (30 of 30)" in run("evaluate", "runs/mnist/model.npz", "--data", folder)[1]


def test_a_folder_with_one_part_of_mnist_is_divided_and_that_is_said(run, tmp_path):
    folder = write_mnist(tmp_path / "mnist", {"t10k": 100})
    status, out, _ = run("train", "--data", folder, "--epochs", 5, "--output", "here")
    assert status == 0
    assert out.splitlines()[0].endswith("72 to train, 8 to validate, 20 to test")
    assert "holds only the test part of MNIST: a random fifth of it is set aside" in out.splitlines()[1]
    assert "test accuracy 100.00% (20 of 20)" in run("evaluate", "here/model.npz", "--data", folder)[1]


# using a saved model


def test_evaluate_repeats_the_result_of_the_training(run):
    _, trained, _ = run("train", "--epochs", 3, "--seed", 2, "--output", "here")
    for options in ((), ("--data", "digits")):
        status, out, err = run("evaluate", "here/model.npz", *options)
        assert (status, err) == (0, "")
        assert out.strip() in trained
        assert "(" in out
        assert " of 359)" in out


def test_evaluate_on_other_data_uses_all_of_it(run, flowers):
    run("train", "--data", flowers, "--epochs", 20, "--output", "here")
    assert " of 40)" in run("evaluate", "here/model.npz", "--data", flowers)[1]
    with open(flowers, newline="") as file:
        rows = list(csv.reader(file))
    shuffled = [[row[2], row[1], row[0]] for row in rows]  # the same columns in another order
    write_csv("other.csv", shuffled[0], shuffled[1:151])
    status, out, _ = run("evaluate", "here/model.npz", "--data", "other.csv", "--target", "name")
    assert status == 0
    assert out.startswith("overall accuracy")
    assert " of 150)" in out
    assert accuracy_in(out) > 90


def test_predict_names_classes_with_their_probability(run, flowers):
    run("train", "--data", flowers, "--epochs", 20, "--output", "here")
    write_csv("new.csv", ["width", "colour", "height"], [[0.002, "red", 1100], [-0.002, "blue", 900]])
    status, out, err = run("predict", "here/model.npz", "new.csv")
    assert (status, err) == (0, "")
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["prediction"] for row in rows] == ["rose", "thistle"]
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)
    status, said, _ = run("predict", "here/model.npz", "new.csv", "--output", "out/predicted.csv")
    assert (status, said) == (0, f"wrote {Path('out/predicted.csv')}: 2 predictions\n")
    assert Path("out/predicted.csv").read_text() == out


def test_predict_reads_pictures_as_rows_of_raw_pixels(run):
    run("train", "--epochs", 20, "--output", "here")
    digits = data.load_digits(scale=False)
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    write_csv("digits.csv", names, digits.inputs[:200].astype(int))
    _, out, _ = run("predict", "here/model.npz", "digits.csv")
    predicted = [int(row["prediction"]) for row in csv.DictReader(out.splitlines())]
    assert np.mean(predicted == digits.targets[:200]) > 0.95


# what cannot be done


def assert_one_line(result, *words):
    status, out, err = result
    assert status == 2
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    for word in words:
        assert word in err
    return out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["VERB", "--help"]),
        (["fly"], ["'fly'", "train", "predict"]),
        (["train", "--speed", "9"], ["--speed"]),
        (["train", "--optimizer", "sdg"], ["--optimizer", "'sdg'", "sgd"]),
        (["train", "--activation", "rely"], ["--activation", "'rely'", "relu"]),
        (["train", "--epochs", "0"], ["--epochs", "at least 1"]),
        (["train", "--epochs", "many"], ["--epochs", "'many'"]),
        (["train", "--epochs", "1.5"], ["--epochs", "'1.5'"]),
        (["train", "--batch-size", "-1"], ["--batch-size", "at least 1"]),
        (["train", "--hidden", "64", "0"], ["--hidden", "'0'"]),
        (["train", "--dropout", "1"], ["--dropout", "not including, 1"]),
        (["train", "--dropout", "nan"], ["--dropout"]),
        (["train", "--label-smoothing", "-0.1"], ["--label-smoothing"]),
        (["train", "--lr", "-1"], ["--lr", "at least 0"]),
        (["train", "--lr", "inf"], ["--lr"]),
        (["train", "--momentum", "1"], ["--momentum"]),
        (["train", "--momentum", "0.9"], ["--momentum", "adamw", "--optimizer sgd"]),
        (["train", "--weight-decay", "nan"], ["--weight-decay"]),
        (["train", "--seed", "-1"], ["--seed", "at least 0"]),
        (["train", "--validation", "1"], ["--validation"]),
        (["train", "--patience", "0"], ["--patience"]),
        (["train", "--patience", "3", "--validation", "0"], ["--patience", "--validation 0.1"]),
        (["train", "--target", "x"], ["--target", "digits"]),
        (["train", "--data", "missing.csv"], ["missing.csv", "No such file"]),
        (["train", "--data", "."], ["train-images-idx3-ubyte"]),
        (["train", "--data", "flowers.csv", "--target", "nmae"], ["'nmae'", "did you mean 'name'"]),
        (["train", "--data", "flowers.csv", "--target", "name", "--output", "flowers.csv"], ["flowers.csv: is a file"]),
        (["train", "--output", "flowers.csv/deeper"], ["cannot be written"]),
        (["train", "--resume"], ["no checkpoint", "--resume"]),
        (["train", "--resume", "--output", "nowhere"], ["nowhere", "no checkpoint"]),
        (["train", "--lr", "1e30", "--epochs", "2"], ["loss became", "learning rate"]),
        (["evaluate"], ["MODEL"]),
        (["evaluate", "missing.npz"], ["missing.npz", "No such file"]),
        (["evaluate", "flowers.csv"], ["flowers.csv", "not a model file"]),
        (["predict", "missing.npz", "flowers.csv"], ["missing.npz", "No such file"]),
        (["predict", "flowers.csv"], ["FILE.csv"]),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, words, run, flowers):
    assert_one_line(run(*arguments), *words)


def test_resuming_with_other_settings(run, flowers):
    run("train", "--data", flowers, "--epochs", 1, "--output", "here")
    for options, words in [
        (["--lr", 0.5], ["--lr 0.5", "0.003"]),
        (["--hidden", 8, 8], ["--hidden [8, 8]", "[256]"]),
        (["--seed", 1], ["--seed 1", "had: 0"]),
        (["--data", "digits"], ["--data digits"]),
        (["--target", "width"], ["--target width"]),
        (["--batch-size", 8], ["--batch-size 8", "32"]),
    ]:
        assert_one_line(run("train", "--resume", "--output", "here", *options), *words, "--resume")
    same = ["--lr", 0.003, "--hidden", 256, "--seed", 0, "--data", flowers, "--batch-size", 32]
    assert run("train", "--resume", "--output", "here", *same)[0] == 0


def test_resuming_when_the_data_have_changed(run, flowers):
    run("train", "--data", flowers, "--epochs", 1, "--output", "here")
    with open(flowers, "a") as file:
        file.write("1000,0.001,rose\n")
    assert_one_line(run("train", "--resume", "--output", "here"), "training data", "checkpoint.npz")


def test_checkpoints_that_are_not_of_this_command(run, flowers):
    run("train", "--data", flowers, "--epochs", 1, "--output", "here")
    checkpoint = Path("here/checkpoint.npz")
    content = checkpoint.read_bytes()
    for damaged in (b"", b"hello", content[:100], content[:-1], Path("here/model.npz").read_bytes()):
        checkpoint.write_bytes(damaged)
        assert_one_line(run("train", "--resume", "--output", "here"), "checkpoint.npz")
    assert run("train", "--data", flowers, "--epochs", 1, "--output", "here")[0] == 0  # a fresh start still works


def test_model_files_that_are_damaged_or_foreign(run, flowers):
    run("train", "--data", flowers, "--epochs", 1, "--output", "here")
    model = Path("here/model.npz")
    content = model.read_bytes()
    np.savez("foreign.npz", weights=np.ones(3))
    for damaged in (b"", b"hello", content[: len(content) // 2], content[:-1], Path("foreign.npz").read_bytes()):
        model.write_bytes(damaged)
        assert_one_line(run("evaluate", model, "--data", flowers), "model.npz")
        assert_one_line(run("predict", model, flowers), "model.npz")
    assert_one_line(run("predict", "here/checkpoint.npz", flowers), "a checkpoint file, not a model file")


def test_models_and_data_that_do_not_fit_each_other(run, flowers, houses):
    run("train", "--data", flowers, "--epochs", 1, "--output", "here")
    assert_one_line(run("predict", "here/model.npz", houses), "houses.csv", "'height'")
    assert_one_line(run("evaluate", "here/model.npz", "--data", houses), "'name'", "'floors'")
    assert_one_line(run("evaluate", "here/model.npz", "--data", "digits"), "takes 2 features, digits has 64")
    assert_one_line(run("evaluate", "here/model.npz"), "flowers.csv", "--data")
    assert_one_line(run("predict", "here/model.npz", flowers, "--output", "."), "is a folder")


def test_a_table_with_one_class_or_too_few_examples(run):
    write_csv("same.csv", ["a", "kind"], [[i, "x"] for i in range(20)])
    assert_one_line(run("train", "--data", "same.csv"), "one class", "--target")
    write_csv("few.csv", ["a", "kind"], [[1, "x"], [2, "y"]])
    assert_one_line(run("train", "--data", "few.csv"), "too few")


# as a program


def test_the_program_runs_from_any_folder_and_warns_of_nothing(tmp_path):
    options = ("--epochs", 1, "--output", "out")
    result = subprocess.run(
        command("train", *options), cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "test accuracy" in result.stdout
    assert "\r" not in result.stdout
    assert {"model.npz", "history.csv", "checkpoint.npz"} <= set(os.listdir(tmp_path / "out"))


def test_the_program_exits_with_2_and_one_line():
    result = subprocess.run(
        command("evaluate", "missing.npz"), env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1


def test_a_reader_who_leaves_early_is_no_error(run, flowers):
    run("train", "--data", flowers, "--epochs", 1, "--output", "here")
    process = subprocess.Popen(
        command("predict", "here/model.npz", flowers),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


def test_help_lists_the_verbs_and_every_option(run):
    status, out, _ = run("--help")
    assert status == 0
    assert all(verb in out for verb in ("train", "evaluate", "predict"))
    _, out, _ = run("train", "--help")
    names = ["data", "target", "hidden", "activation", "dropout", "optimizer", "lr", "momentum", "weight-decay"]
    for name in [*names, "batch-size", "epochs", "seed", "patience", "output", "resume", "quiet"]:
        assert f"--{name}" in out
