"""A run that was interrupted and resumed ends with the very weights of a run that never was."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, optim
from tinygrad_sm.errors import ArgumentError, FileError, ShapeError, StateError
from tinygrad_sm.randomness import seed
from tinygrad_sm.train import Trainer, checkpoint, load_checkpoint, save_checkpoint

ROOT = Path(__file__).parent.parent.parent
TRAIN = data.make_moons(50, noise=0.2, rng=0)
VALIDATION = data.make_moons(40, noise=0.2, rng=1)
EPOCHS = 4
CALLS = EPOCHS * 5  # of the loss: four batches in training and one in validation

OPTIMIZERS = {
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=0.02),
    "adamw": lambda p: optim.AdamW(p, lr=0.02),
}


class Interrupting:
    """Cross-entropy, but the k-th call is interrupted by Ctrl-C."""

    def __init__(self, k):
        self.left = k

    def __call__(self, output, targets):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return F.cross_entropy(output, targets)


def trainer_of(path, optimizer="adam", *, loss=F.cross_entropy, shared=True, rng=0, **options):
    """A trainer like any other of its kind: one generator for everything, or one for each purpose."""
    generator = np.random.default_rng(rng)
    drops = generator if shared else np.random.default_rng(rng + 1)
    model = nn.Sequential(
        nn.Linear(2, 8, generator=generator), nn.Tanh(), nn.Dropout(0.3, generator=drops), nn.Linear(8, 2)
    )
    options = {"batch_size": 13, "patience": 50, "progress": False} | options
    rule = OPTIMIZERS[optimizer](model.parameters())
    return Trainer(model, rule, loss, generator=generator, checkpoint=path, **options)


def fit(trainer, epochs=EPOCHS, **options):
    return trainer.fit(TRAIN, VALIDATION, epochs=epochs, **options)


def reseeded(make, *arguments, **options):
    """A trainer made when the library's default generator, which draws the last layer, is fresh."""
    seed(0)
    return make(*arguments, **options)


def state_of(trainer):
    """Everything that training leaves behind, but for how long it took."""
    generators = [g.bit_generator.state for g in trainer._generators()]
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in trainer.history]
    return trainer.model.state_dict(), trainer.optimizer.state_dict(), trainer.best, generators, rows


def assert_same(first, second):
    for ours, theirs in zip(first[:3], second[:3], strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
    assert first[3:] == second[3:]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The state at the end of runs that nobody interrupted."""
    states = {}
    for name in OPTIMIZERS:
        for shared in (True, False):
            trainer = reseeded(trainer_of, None, name, shared=shared)
            fit(trainer)
            states[name, shared] = state_of(trainer)
    return states


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("k", range(1, CALLS + 1))
def test_interrupted_anywhere_it_ends_with_the_same_bits(k, shared, optimizer, tmp_path, uninterrupted):
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(KeyboardInterrupt):
        fit(reseeded(trainer_of, path, optimizer, loss=Interrupting(k), shared=shared))
    assert len(load_checkpoint(path).history) == (k - 1) // 5
    seed(99)  # what happened in between must not matter
    resumed = trainer_of(path, optimizer, shared=shared)
    fit(resumed, resume=True)
    assert_same(state_of(resumed), uninterrupted[optimizer, shared])


@pytest.mark.parametrize("first", range(1, EPOCHS))
def test_trained_on_after_a_run_that_ended_it_is_as_one_run(first, tmp_path, uninterrupted):
    path = tmp_path / "checkpoint.npz"
    fit(reseeded(trainer_of, path), epochs=first)
    resumed = trainer_of(path)
    fit(resumed, resume=True)
    assert_same(state_of(resumed), uninterrupted["adam", True])


def test_interrupted_again_and_again(tmp_path, uninterrupted):
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(KeyboardInterrupt):
        fit(reseeded(trainer_of, path, loss=Interrupting(7)))
    for k in (3, 6, 8):
        with pytest.raises(KeyboardInterrupt):
            fit(trainer_of(path, loss=Interrupting(k)), resume=True)
    resumed = trainer_of(path)
    fit(resumed, resume=True)
    assert_same(state_of(resumed), uninterrupted["adam", True])


def test_a_finished_run_has_nothing_left_to_do(tmp_path, uninterrupted):
    path = tmp_path / "checkpoint.npz"
    fit(reseeded(trainer_of, path))
    resumed = trainer_of(path, loss=Interrupting(1))
    fit(resumed, resume=True)
    assert_same(state_of(resumed), uninterrupted["adam", True])


@pytest.mark.parametrize("bit_generator", [np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_any_bit_generator_can_be_resumed(bit_generator, tmp_path):
    def make(path, loss=F.cross_entropy):
        generator = np.random.Generator(bit_generator(3))
        model = nn.MLP([2, 8, 2], dropout=0.3, generator=generator)
        rule = optim.Adam(model.parameters(), lr=0.02)
        return Trainer(model, rule, loss, generator=generator, checkpoint=path, progress=False, batch_size=13)

    seed(0)
    reference = make(None)
    fit(reference)
    with pytest.raises(KeyboardInterrupt):
        fit(make(tmp_path / "c.npz", loss=Interrupting(12)))
    resumed = make(tmp_path / "c.npz")
    fit(resumed, resume=True)
    for name, value in reference.model.state_dict().items():
        np.testing.assert_array_equal(value, resumed.model.state_dict()[name])


class StoppingLoss:
    """Cross-entropy in training; in validation the numbers of a list, so that it is known when patience ends."""

    def __init__(self, losses, k=-1):
        self.losses, self.left = list(losses), k

    def __call__(self, output, targets):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        measured = F.cross_entropy(output, targets)
        return measured if measured.requires_grad else self.losses.pop(0)


@pytest.mark.parametrize("k", range(6, 31, 4))
def test_early_stopping_remembers_what_it_saw_before_the_interruption(k, tmp_path):
    losses = [0.9, 0.4, 0.5, 0.45, 0.41, 0.39, 0.1]
    reference = reseeded(trainer_of, None, loss=StoppingLoss(losses), patience=3)
    fit(reference, epochs=7)
    assert reference.history.column("validation_loss") == losses[:5]
    path = tmp_path / "c.npz"
    interrupted = reseeded(trainer_of, path, loss=StoppingLoss(losses, k), patience=3)
    if k <= 25:
        with pytest.raises(KeyboardInterrupt):
            fit(interrupted, epochs=7)
    else:  # it had stopped by itself before that
        fit(interrupted, epochs=7)
    done = len(load_checkpoint(path).history)
    resumed = trainer_of(path, loss=StoppingLoss(losses[done:]), patience=3)
    fit(resumed, epochs=7, resume=True)
    assert_same(state_of(resumed), state_of(reference))
    assert resumed.stopped_early


def test_a_learning_rate_changed_on_the_way_is_kept(tmp_path):
    path = tmp_path / "c.npz"
    trainer = reseeded(trainer_of, path)
    trainer.optimizer.lr = 0.005
    fit(trainer, epochs=2)
    resumed = trainer_of(path)
    fit(resumed, epochs=3, resume=True)
    assert resumed.optimizer.lr == 0.005
    assert resumed.history.column("lr") == [0.005] * 3


def test_a_fresh_run_writes_over_an_old_checkpoint(tmp_path):
    path = tmp_path / "c.npz"
    fit(reseeded(trainer_of, path), epochs=3)
    fit(reseeded(trainer_of, path), epochs=1)
    assert len(load_checkpoint(path).history) == 1


def test_a_checkpoint_is_there_before_the_first_epoch_is_over(tmp_path):
    path = tmp_path / "c.npz"
    trainer = reseeded(trainer_of, path, loss=Interrupting(1))
    before = trainer.model.state_dict()
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    saved = load_checkpoint(path)
    assert saved.history == []
    for name, value in before.items():
        np.testing.assert_array_equal(saved.model[name], value)


def test_interrupted_while_a_checkpoint_is_taken(tmp_path, uninterrupted):
    path = tmp_path / "c.npz"
    trainer = reseeded(trainer_of, path)
    take, left = trainer.optimizer.state_dict, [3]

    def interrupted_take():
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return take()

    trainer.optimizer.state_dict = interrupted_take
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    assert len(load_checkpoint(path).history) == 1  # the second epoch was over, its checkpoint was not
    resumed = trainer_of(path)
    fit(resumed, resume=True)
    assert_same(state_of(resumed), uninterrupted["adam", True])


def test_a_checkpoint_is_written_at_most_once_a_second_and_at_the_end(tmp_path, monkeypatch):
    now, written = [100.0], []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "save_checkpoint", lambda path, state: written.append(len(state.history)))
    trainer = reseeded(trainer_of, tmp_path / "c.npz")

    def slow(output, targets):
        now[0] += 0.08  # five calls an epoch, so 0.4 seconds
        return F.cross_entropy(output, targets)

    trainer.loss = slow
    fit(trainer, epochs=7)
    assert written == [0, 3, 6, 7]


def change(**options):
    return lambda path: trainer_of(path, **options)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (change(batch_size=14), "batch size 13, this one has 14"),
        (change(patience=3), "patience 50, this one has 3"),
        (change(optimizer="adamw"), "had optimiser"),
        (change(optimizer="momentum"), "had optimiser"),
        (change(shared=False), "had generators"),
    ],
)
def test_other_settings_are_refused(make, words, tmp_path):
    path = tmp_path / "c.npz"
    fit(reseeded(trainer_of, path), epochs=1)
    with pytest.raises(StateError, match=words) as error:
        fit(make(path), resume=True)
    assert str(path) in error.value.message
    assert error.value.remedy


def test_another_network_and_other_data_are_refused(tmp_path):
    path = tmp_path / "c.npz"
    fit(reseeded(trainer_of, path), epochs=1)
    wider = nn.MLP([2, 9, 2])
    trainer = trainer_of(path)
    trainer.model, trainer.optimizer = wider, optim.Adam(wider.parameters(), lr=0.02)
    with pytest.raises(StateError, match="had parameters"):
        fit(trainer, resume=True)
    with pytest.raises(StateError, match=r"training data '50 examples \("):
        trainer_of(path).fit(data.make_moons(50, noise=0.2, rng=7), VALIDATION, epochs=2, resume=True)
    with pytest.raises(StateError, match="validation data"):
        trainer_of(path).fit(TRAIN, TRAIN, epochs=2, resume=True)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileError, match=r"nothing\.npz: No such file"):
        fit(trainer_of(tmp_path / "nothing.npz"), resume=True)


def test_a_folder_that_cannot_be_written_is_noticed_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    loss = Interrupting(10**9)
    with pytest.raises(FileError, match="cannot be written"):
        fit(trainer_of(tmp_path / "file" / "c.npz", loss=loss))
    assert loss.left == 10**9


def test_notes_come_back(tmp_path):
    path = tmp_path / "c.npz"
    fit(reseeded(trainer_of, path, notes={"why": "to see", "list": [1, 2.5, None]}), epochs=1)
    assert load_checkpoint(path).notes == {"why": "to see", "list": [1, 2.5, None]}


def test_a_checkpoint_that_is_saved_and_loaded_is_the_same(tmp_path):
    trainer = reseeded(trainer_of, tmp_path / "a.npz")
    fit(trainer, epochs=2)
    first = load_checkpoint(tmp_path / "a.npz")
    save_checkpoint(tmp_path / "b.npz", first)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:  # no pickle in it
        assert json.loads(str(arrays["header"]))["epoch"] == 2


def test_ctrl_c_in_a_process_of_its_own(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        f"import sys; sys.path[:0] = [{str(ROOT)!r}]\n"
        "import numpy as np\n"
        "from tinygrad_sm import data, nn, optim, train\n"
        "def trainer(path):\n"
        "    generator = np.random.default_rng(0)\n"
        "    model = nn.MLP([2, 8, 2], dropout=0.2, generator=generator)\n"
        "    rule = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)\n"
        "    return train.Trainer(model, rule, generator=generator, checkpoint=path)\n"
        "if __name__ == '__main__':\n"
        "    trainer('c.npz').fit(data.make_moons(200, noise=0.2), epochs=1_000_000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", script.name], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(20):
        assert process.stdout.readline().startswith("epoch")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    done = len(load_checkpoint(tmp_path / "c.npz").history)
    assert done >= 20

    names = {"__name__": "lesson"}
    exec(compile(script.read_text(), str(script), "exec"), names)
    moons = data.make_moons(200, noise=0.2)
    resumed, reference = names["trainer"](tmp_path / "c.npz"), names["trainer"](None)
    resumed.progress = reference.progress = False
    resumed.fit(moons, epochs=done + 3, resume=True)
    reference.fit(moons, epochs=done + 3)
    for name, value in reference.model.state_dict().items():
        np.testing.assert_array_equal(value, resumed.model.state_dict()[name])


def test_drop_last_trains_on_full_batches_alone_and_resumes_to_the_same_bits(tmp_path):
    path, seen = tmp_path / "c.npz", []

    def loss(output, targets):
        seen.append(len(targets))
        return F.cross_entropy(output, targets)

    whole = reseeded(trainer_of, tmp_path / "whole.npz", loss=loss, drop_last=True)
    fit(whole)
    assert seen == [13, 13, 13, 40] * EPOCHS  # evaluation takes every example
    fit(reseeded(trainer_of, path, drop_last=True), epochs=2)
    resumed = trainer_of(path, drop_last=True)
    fit(resumed, resume=True)
    assert_same(state_of(resumed), state_of(whole))
    with pytest.raises(StateError, match="had drop_last"):
        fit(trainer_of(path), resume=True)
    with pytest.raises(ArgumentError, match="drop_last leaves nothing of 50"):
        fit(trainer_of(None, batch_size=51, drop_last=True))


def test_a_last_batch_of_one_is_refused_by_batch_norm_which_names_the_remedy():
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    for drop in (False, True):
        trainer = Trainer(
            model, optim.SGD(model.parameters(), 0.1), batch_size=7, progress=False, drop_last=drop
        )  # 50 = 7 * 7 + 1
        if drop:
            trainer.fit(TRAIN, epochs=1)
        else:
            with pytest.raises(ShapeError, match="two values per channel") as caught:
                trainer.fit(TRAIN, epochs=1)
            assert "drop_last=True" in caught.value.remedy
