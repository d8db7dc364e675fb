"""Layers of activations: each is its operation, those with weights train them, and losses are pointed to."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn, optim

LAYERS = [
    (nn.LogSigmoid(), F.log_sigmoid, "LogSigmoid()"),
    (nn.GELU(), F.gelu, "GELU()"),
    (nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh"), "GELU(approximate='tanh')"),
    (nn.SiLU(), F.silu, "SiLU()"),
    (nn.Mish(), F.mish, "Mish()"),
    (nn.SELU(), F.selu, "SELU()"),
    (nn.Softsign(), F.softsign, "Softsign()"),
    (nn.Tanhshrink(), F.tanhshrink, "Tanhshrink()"),
    (nn.Hardtanh(-0.5, 0.25), lambda x: F.hardtanh(x, -0.5, 0.25), "Hardtanh(-0.5, 0.25)"),
    (nn.ReLU6(), F.relu6, "ReLU6()"),
    (nn.Hardsigmoid(), F.hardsigmoid, "Hardsigmoid()"),
    (nn.Hardswish(), F.hardswish, "Hardswish()"),
    (nn.Softshrink(0.3), lambda x: F.softshrink(x, 0.3), "Softshrink(0.3)"),
    (nn.Threshold(0.1, -1.0), lambda x: F.threshold(x, 0.1, -1.0), "Threshold(0.1, -1.0)"),
    (nn.GLU(), F.glu, "GLU(axis=-1)"),
    (nn.GLU(axis=0), lambda x: F.glu(x, axis=0), "GLU(axis=0)"),
]


@pytest.mark.parametrize(("layer", "function", "shown"), LAYERS, ids=[case[2] for case in LAYERS])
def test_a_layer_is_its_operation(layer, function, shown):
    x = np.random.default_rng(0).standard_normal((2, 4))
    np.testing.assert_array_equal(layer(x), function(x))
    assert repr(layer) == shown
    assert not list(layer.parameters())
    assert getattr(nn, type(layer).__name__) is type(layer)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.GELU("erf"),
        lambda: nn.Hardtanh(1, -1),
        lambda: nn.Softshrink(-1),
        lambda: nn.PReLU(0),
        lambda: nn.PReLU(init="a"),
        lambda: nn.PReLU(init=None),
        lambda: nn.Embedding(5, 3, 1.0),
        lambda: nn.Embedding(5, 3, True),
    ],
)
def test_wrong_options_are_refused_when_the_layer_is_made(make):
    with pytest.raises(tg.errors.ArgumentError):
        make()


def test_prelu_learns_the_absolute_value():
    layer = nn.PReLU(2)
    assert repr(layer) == "PReLU(2)"
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert layer.weight.data.tolist() == [0.25, 0.25]
    optimizer = optim.SGD(layer.parameters(), lr=0.5)
    x = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    for _ in range(100):
        optimizer.zero_grad()
        F.mse_loss(layer(x), np.abs(x)).backward()
        optimizer.step()
    np.testing.assert_allclose(layer.weight.data, [-1, -1], atol=1e-4)


def test_maxout_is_the_largest_of_its_pieces():
    layer = nn.Maxout(3, 2, pieces=4, generator=np.random.default_rng(0))
    assert repr(layer).splitlines()[0].startswith("Maxout(")
    assert {name: p.shape for name, p in layer.named_parameters()} == {"linear.weight": (3, 8), "linear.bias": (8,)}
    x = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    scores = x @ layer.linear.weight.data + layer.linear.bias.data
    expected = np.stack([scores[:, :4].max(axis=1), scores[:, 4:].max(axis=1)], axis=1)
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-6)
    layer(x).sum().backward()
    assert layer.linear.bias.grad.sum() == 10  # one winner for each unit and sample
    for sizes in ((0, 2, 2), (2, 0, 2), (2, 2, 0), (2, 2, 1.0)):
        with pytest.raises(tg.errors.ArgumentError, match="Maxout"):
            nn.Maxout(*sizes)
    assert nn.Maxout(3, 2, bias=False)(x).shape == (5, 2)


def test_every_new_layer_passes_through_a_compiled_step():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Embedding(6, 8, generator=rng), nn.Flatten(), nn.PReLU(16), nn.GLU(), nn.Maxout(8, 3, 2))
    twin = nn.Sequential(nn.Embedding(6, 8, generator=rng), nn.Flatten(), nn.PReLU(16), nn.GLU(), nn.Maxout(8, 3, 2))
    twin.load_state_dict(model.state_dict())
    batches = [(rng.integers(6, size=(5, 2)), rng.integers(3, size=5)) for _ in range(3)]
    step = tg.compile_step(lambda x, y: F.hinge_loss(model(x), y), optim.SGD(model.parameters(), lr=0.1))
    optimizer = optim.SGD(twin.parameters(), lr=0.1)
    for x, y in batches * 2:
        optimizer.zero_grad()
        loss = F.hinge_loss(twin(x), y)
        loss.backward()
        optimizer.step()
        assert float(step(x, y)) == pytest.approx(loss.item(), rel=1e-6)
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-5, atol=1e-7)
    with pytest.raises(tg.errors.BoundsError, match="holds 6"):
        step(np.full((5, 2), 6), batches[0][1])


@pytest.mark.parametrize(
    ("name", "function"),
    [("HuberLoss", "huber_loss"), ("L1Loss", "l1_loss"), ("SmoothL1Loss", "smooth_l1_loss"), ("KLDivLoss", "kl_div")],
)
def test_losses_of_pytorch_are_functions_here(name, function):
    with pytest.raises(AttributeError, match=rf"nn\.functional\.{function}$"):
        getattr(nn, name)
    assert function in F.__all__


def test_a_tensor_goes_through_as_a_method_too():
    x = Tensor([[-1.0, 2.0]], requires_grad=True)
    assert x.gelu().shape == x.silu().shape == (1, 2)
    assert x.glu().shape == x.maxout(2).shape == (1, 1)
