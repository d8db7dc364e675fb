"""Layers of convolutional networks: their initial values, what they compute, and that a small network learns."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import nn, optim


def generator():
    return np.random.default_rng(0)


LAYERS = [
    (nn.Conv1d(4, 6, 3, 2, 1, groups=2), (2, 4, 9), F.conv1d, {"stride": 2, "padding": 1, "groups": 2}),
    (nn.Conv2d(4, 6, (3, 2), padding="same"), (2, 4, 5, 6), F.conv2d, {"padding": "same"}),
    (nn.Conv2d(4, 4, 3, dilation=2, groups=4, bias=False), (4, 5, 6), F.conv2d, {"dilation": 2, "groups": 4}),
    (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), (2, 4, 3, 3), F.conv_transpose2d,
     {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape", "function", "options"), LAYERS)
def test_a_layer_is_its_function_with_parameters(layer, shape, function, options):
    x = generator().standard_normal(shape).astype(np.float32)
    np.testing.assert_array_equal(layer(x).data, function(x, layer.weight, layer.bias, **options).data)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"][: 1 + (layer.bias is not None)]


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in"),
    [
        (lambda: nn.Conv1d(8, 64, 5, groups=2, generator=generator()), (64, 4, 5), 20),
        (lambda: nn.Conv2d(8, 64, (3, 2), generator=generator()), (64, 8, 3, 2), 48),
        (lambda: nn.ConvTranspose2d(64, 8, 3, generator=generator()), (64, 8, 3, 3), 72),
    ],
)
def test_initial_values_are_uniform_within_one_over_the_root_of_fan_in(layer, shape, fan_in):
    layer, bound = layer(), 1 / np.sqrt(fan_in)
    assert layer.weight.shape == shape
    assert layer.weight.dtype == layer.bias.dtype == np.float32
    assert 0.95 * bound < np.abs(layer.weight.data).max() <= bound * (1 + 1e-6)
    assert np.abs(layer.bias.data).max() <= bound * (1 + 1e-6)
    assert layer.weight.data.std() == pytest.approx(bound / np.sqrt(3), rel=0.1)


def test_layers_show_what_they_are():
    assert repr(nn.Conv2d(1, 2, 3)) == "Conv2d(1, 2, kernel_size=(3, 3))"
    assert repr(nn.Conv1d(2, 4, 3, 2, "valid", groups=2, bias=False)).endswith(
        "(2, 4, kernel_size=(3,), stride=2, padding='valid', groups=2, bias=False)"
    )
    assert repr(nn.MaxPool2d(3, 2)) == "MaxPool2d(3, stride=2)"
    assert repr(nn.AvgPool2d((2, 3), count_include_pad=False)) == "AvgPool2d((2, 3), count_include_pad=False)"
    assert repr(nn.AdaptiveAvgPool2d((1, None))) == "AdaptiveAvgPool2d((1, None))"


def test_pooling_layers_are_their_functions():
    x = generator().standard_normal((2, 3, 7, 6))
    np.testing.assert_array_equal(nn.MaxPool2d(3, 2, 1, 2)(x), F.max_pool2d(x, 3, 2, 1, 2))
    got = nn.AvgPool2d(3, 2, 1, count_include_pad=False, divisor_override=4)(x)
    np.testing.assert_array_equal(got, F.avg_pool2d(x, 3, 2, 1, count_include_pad=False, divisor_override=4))
    np.testing.assert_array_equal(nn.AdaptiveAvgPool2d((2, None))(x), F.adaptive_avg_pool2d(x, (2, None)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(0, 2, 3), "Conv2d: in_channels=0"),
        (lambda: nn.Conv2d(4, 6, 3, groups=4), "Conv2d: groups=4 does not divide 4 and 6"),
        (lambda: nn.Conv1d(4, 6, (3, 5)), "Conv1d: kernel_size="),
        (lambda: nn.Conv2d(4, 6, 0), "Conv2d: kernel_size=0"),
        (lambda: nn.Conv2d(4, 6, 3, stride=0), "Conv2d: stride=0"),
        (lambda: nn.Conv2d(4, 6, 3, 2, "same"), 'Conv2d: padding="same" with stride=2'),
        (lambda: nn.Conv1d(4, 6, 3, padding=-1), "Conv1d: padding=-1"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, padding="same"), "ConvTranspose2d: padding='same'"),
        (lambda: nn.MaxPool2d(2, 0), "MaxPool2d: stride=0"),
        (lambda: nn.AvgPool2d(-2), "AvgPool2d: kernel_size=-2"),
        (lambda: nn.MaxPool2d(((1, 2), 3)), r"MaxPool2d: \(\(1, 2\), 3\)"),
        (lambda: nn.Conv2d(4, 6, 3, padding=((1, 2),)), r"Conv2d: 3, 1, \(\(1, 2\),\), 1"),
        (lambda: nn.AvgPool2d(2, divisor_override=0), "AvgPool2d: divisor_override=0"),
        (lambda: nn.AvgPool2d(2, divisor_override=True), "AvgPool2d: divisor_override=True"),
        (lambda: nn.MaxPool2d(2, padding=2), "MaxPool2d: padding=2 for kernel_size=2"),
        (lambda: nn.MaxPool2d(3, padding="same"), "MaxPool2d: padding='same'"),
        (lambda: nn.AdaptiveAvgPool2d((None, 0)), "AdaptiveAvgPool2d: output_size="),
        (lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), r"AdaptiveAvgPool2d: output_size=\(1, 2, 3\)"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, 2, output_padding=2), "ConvTranspose2d: output_padding=2 with stride"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, output_padding="a"), "ConvTranspose2d: output_padding='a'"),
    ],
)
def test_bad_options_are_refused_when_the_layer_is_made(make, message):
    with pytest.raises(tg.errors.ArgumentError, match=message) as caught:
        make()
    assert caught.value.remedy


def network():
    layers = nn.Conv2d(1, 4, 3, generator=generator()), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(4 * 3 * 3, 2, generator=generator()))


def stripes():
    """Images of noise with a stripe: horizontal ones are of class 0, vertical ones of class 1."""
    rng = generator()
    images, labels = 0.3 * rng.standard_normal((64, 1, 8, 8)).astype(np.float32), rng.integers(0, 2, 64)
    for image, label, place in zip(images[:, 0], labels, rng.integers(1, 7, 64), strict=True):
        (image.T if label else image)[place] += 1
    return images, labels


@pytest.mark.parametrize(
    "backend", ["eager", "numpy", pytest.param("numba", marks=[pytest.mark.slow, pytest.mark.extra])]
)
def test_a_network_learns_to_tell_stripes_apart(backend):
    model, (images, labels) = network(), stripes()
    optimizer = optim.SGD(model.parameters(), lr=0.3)

    def loss_of(x, y):
        return F.cross_entropy(model(x), y)

    def eager(x, y):
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

    step = eager if backend == "eager" else tg.compile_step(loss_of, optimizer, backend=backend)
    losses = [float(step(images, labels)) for _ in range(80)]
    assert losses[0] == pytest.approx(float(F.cross_entropy(network()(images), labels)), rel=1e-5)
    assert losses[-1] < 0.05
    assert (model(images).data.argmax(axis=1) == labels).all()
