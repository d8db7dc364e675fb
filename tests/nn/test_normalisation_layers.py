"""Batch, layer and group normalisation as layers; buffers, which a model carries and does not train."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, data, errors, nn, optim, train

NAMES = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "3.weight", "3.bias"]


def rng(seed=0):
    return np.random.default_rng(seed)


def network(**options):
    generator = rng()
    return nn.Sequential(
        nn.Linear(4, 5, generator=generator),
        nn.BatchNorm1d(5, **options),
        nn.ReLU(),
        nn.Linear(5, 3, generator=generator),
    )


def batch(seed, n=8):
    return rng(seed).standard_normal((n, 4)).astype(np.float32) + 1, rng(seed).integers(3, size=n)


def trained(model, steps=5, step=None):
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for seed in range(steps):
        x, y = batch(seed)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def assert_same_state(one, other):
    assert list(one) == list(other)
    for name, value in one.items():
        assert value.dtype == other[name].dtype
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_buffers_are_saved_with_the_parameters_and_not_trained():
    model = trained(network())
    assert list(model.state_dict()) == NAMES
    assert [name for name, _ in model.named_parameters()] == [name for name in NAMES if "running" not in name]
    assert [name for name, _ in model.named_buffers()] == NAMES[4:6]
    assert all(isinstance(buffer, nn.Buffer) and not buffer.requires_grad for buffer in model.buffers())
    assert next(model.buffers()).name == "1.running_mean"
    assert np.abs(next(model.buffers()).data).min() > 0.01


def test_evaluation_is_by_what_was_remembered_and_changes_nothing():
    model = trained(network()).eval()
    state = model.state_dict()
    x, _ = batch(9)
    h = x @ state["0.weight"] + state["0.bias"]
    h = (h - state["1.running_mean"]) / np.sqrt(state["1.running_var"] + 1e-5) * state["1.weight"] + state["1.bias"]
    expected = np.maximum(h, 0) @ state["3.weight"] + state["3.bias"]
    np.testing.assert_allclose(model(x).data, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(x[:1]).data, expected[:1], rtol=1e-4, atol=1e-5)
    assert_same_state(model.state_dict(), state)


def test_running_statistics_are_those_of_the_batches_written_out():
    layer = nn.BatchNorm2d(3, momentum=0.3, dtype=np.float64)
    mean, var = np.zeros(3), np.ones(3)
    for seed in range(4):
        x = rng(seed).standard_normal((2, 3, 4, 5)) + seed
        layer(x)
        mean = 0.7 * mean + 0.3 * x.mean(axis=(0, 2, 3))
        var = 0.7 * var + 0.3 * x.var(axis=(0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_mean.data, mean)
    np.testing.assert_allclose(layer.running_var.data, var)


def test_state_goes_from_model_to_model_by_every_way():
    model = trained(network(momentum=None))
    state = model.state_dict()
    assert state["1.num_batches_tracked"] == 5
    loaded = network(momentum=None)
    loaded.load_state_dict(state)
    for other in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_same_state(other.state_dict(), state)
        trained(other, 1)
        assert not np.array_equal(other.state_dict()["1.running_mean"], state["1.running_mean"])
        assert_same_state(model.state_dict(), state)


def test_a_state_without_the_buffers_is_refused():
    model = network()
    state = {name: value for name, value in model.state_dict().items() if "running" not in name}
    with pytest.raises(errors.StateError, match=r"no value for 1\.running_mean, 1\.running_var"):
        model.load_state_dict(state)


def test_a_training_run_that_was_interrupted_goes_on_with_the_statistics(tmp_path):
    x, y = (np.concatenate(parts) for parts in zip(*[batch(seed) for seed in range(4)], strict=True))

    def run(path, epochs, resume=False):
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        trainer = train.Trainer(model, optimizer, batch_size=8, generator=rng(3), checkpoint=path, progress=False)
        trainer.fit((x, y), epochs=epochs, resume=resume)
        return model

    whole = run(tmp_path / "whole.npz", 4)
    run(tmp_path / "halves.npz", 2)
    assert_same_state(run(tmp_path / "halves.npz", 4, resume=True).state_dict(), whole.state_dict())


def test_without_statistics_a_batch_is_its_own_in_evaluation_too():
    layer = nn.BatchNorm1d(2, track_running_stats=False, momentum=None)
    assert list(layer.state_dict()) == ["weight", "bias"]
    x = np.array([[1.0, 2.0], [3.0, 2.0]])
    np.testing.assert_array_equal(layer(x).data, layer.eval()(x).data)
    with pytest.raises(errors.ShapeError):
        layer(x[:1])


def test_without_weights():
    assert list(nn.BatchNorm1d(2, affine=False).parameters()) == []
    assert list(nn.LayerNorm(2, elementwise_affine=False).parameters()) == []
    assert list(nn.LayerNorm(2, bias=False).state_dict()) == ["weight"]
    assert list(nn.GroupNorm(1, 2, affine=False).parameters()) == []
    for layer in (nn.BatchNorm1d(2, affine=False), nn.LayerNorm(2, elementwise_affine=False)):
        assert isinstance(layer(Tensor(np.eye(2), requires_grad=True)), Tensor)


def test_layers_are_the_functions():
    x = rng().standard_normal((3, 4, 2, 2)).astype(np.float32)
    np.testing.assert_array_equal(nn.LayerNorm((2, 2))(x).data, F.layer_norm(x, (2, 2)))
    np.testing.assert_array_equal(nn.GroupNorm(2, 4)(x).data, F.group_norm(x, 2))
    np.testing.assert_array_equal(nn.BatchNorm2d(4)(x).data, F.batch_norm(x, training=True))
    np.testing.assert_array_equal(nn.BatchNorm1d(4)(x[..., 0]).data, F.batch_norm(x[..., 0], training=True))
    assert repr(nn.LayerNorm(3)) == "LayerNorm((3,), eps=1e-05)"
    assert repr(nn.GroupNorm(2, 4)) == "GroupNorm(2, 4, eps=1e-05)"
    assert repr(nn.BatchNorm1d(4)) == "BatchNorm1d(4, eps=1e-05, momentum=0.1)"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: nn.BatchNorm1d(0), r"BatchNorm1d: num_features=0"),
        (lambda: nn.BatchNorm1d(2.0), r"BatchNorm1d: num_features=2.0"),
        (lambda: nn.LayerNorm((3, 0)), r"LayerNorm: normalized_shape=\(3, 0\)"),
        (lambda: nn.LayerNorm(True), "LayerNorm: normalized_shape=True"),
        (lambda: nn.LayerNorm(2.0), "LayerNorm: normalized_shape=2.0"),
        (lambda: nn.LayerNorm(()), r"LayerNorm: normalized_shape=\(\)"),
        (lambda: nn.BatchNorm1d(2, eps=0), "BatchNorm1d: eps=0"),
        (lambda: nn.BatchNorm2d(2, momentum=1.5), "BatchNorm2d: momentum=1.5"),
        (lambda: nn.BatchNorm2d(2, 0.1, "a"), "BatchNorm2d: momentum='a'"),
        (lambda: nn.LayerNorm(2, eps=-1e-5), "LayerNorm: eps=-1e-05"),
        (lambda: nn.LayerNorm(2, eps=None), "LayerNorm: eps=None"),
        (lambda: nn.GroupNorm(2, 4, "a"), "GroupNorm: eps='a'"),
        (lambda: nn.GroupNorm(2, 5), "num_groups=2 of 5 channels"),
        (lambda: nn.BatchNorm1d(3)(np.ones((4, 2))), r"x \(4, 2\) does not fit num_features=3"),
        (lambda: nn.BatchNorm1d(3)(np.ones((4, 3, 2, 2))), r"x \(4, 3, 2, 2\) does not fit"),
        (lambda: nn.BatchNorm2d(3)(np.ones((4, 3))), r"\(4, 3\) does not fit"),
        (lambda: nn.BatchNorm1d(3)(np.ones((1, 3))), "no two values per channel"),
        (lambda: nn.GroupNorm(2, 4)(np.ones((4, 6))), "does not have 4 channels"),
        (lambda: nn.Buffer([1.0], requires_grad=True), "it is not trained"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(call, said):
    with pytest.raises(errors.TinygradError, match=said) as caught:
        call()
    assert caught.value.remedy


def test_a_buffer_of_ones_own():
    class Counting(nn.Module):
        def __init__(self):
            self.seen = nn.Buffer(np.zeros(2, int))
            self.scale = nn.Parameter([2.0])
            self.others = [nn.Buffer([1.0]), nn.Linear(1, 1)]

        def forward(self, x):
            self.seen += 1
            return x * self.scale

    given = np.zeros(3)
    assert not np.shares_memory(nn.Buffer(given).data, given)
    model = Counting()
    model(np.ones(1))
    assert list(model.state_dict()) == ["seen", "scale", "others.0", "others.1.weight", "others.1.bias"]
    np.testing.assert_array_equal(model.state_dict()["seen"], [1, 1])
    model.load_state_dict(model.state_dict() | {"seen": np.array([5, 6])})
    np.testing.assert_array_equal(model.seen.data, [5, 6])
    assert len(list(model.parameters())) == 3


BACKENDS = ["numpy", pytest.param("numba", marks=[pytest.mark.slow, pytest.mark.extra])]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("momentum", [0.1, None])
def test_compiled_steps_are_the_eager_ones_with_the_statistics(backend, momentum):
    eager, compiled = trained(network(momentum=momentum)), network(momentum=momentum)
    step = tg.compile_step(
        lambda x, y: F.cross_entropy(compiled(x), y), optim.SGD(compiled.parameters(), lr=0.1), backend=backend
    )
    for seed in range(5):
        step(*batch(seed))
    for name, value in eager.state_dict().items():
        rtol = 0 if backend == "numpy" else 1e-4
        np.testing.assert_allclose(compiled.state_dict()[name], value, rtol=rtol, atol=rtol / 100, err_msg=name)
    evaluate = tg.compile(lambda x: compiled(x), backend=backend)
    x, _ = batch(9)
    for _ in range(2):
        compiled.eval()
        np.testing.assert_allclose(evaluate(x), compiled(x).data, rtol=1e-4, atol=1e-6)
        compiled.train()
        compiled(x)  # which moves the statistics under the compiled function


def test_digits_are_learnt_faster_with_it():
    digits = data.load_digits()
    x, y = digits.inputs[:600].reshape(600, -1).astype(np.float32), digits.targets[:600]
    accuracies = []
    for normalised in (False, True):
        generator = rng()
        layers = [nn.Linear(64, 32, generator=generator), *([nn.BatchNorm1d(32)] if normalised else []), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(32, 10, generator=generator))
        optimizer = optim.SGD(model.parameters(), lr=0.2)
        for _ in range(3):
            for lo in range(0, 600, 50):
                optimizer.zero_grad()
                F.cross_entropy(model(x[lo : lo + 50]), y[lo : lo + 50]).backward()
                optimizer.step()
        accuracies.append(np.mean(model.eval()(x).data.argmax(axis=1) == y))
    assert accuracies[1] > max(accuracies[0], 0.9)
