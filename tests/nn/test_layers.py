"""Layers: Linear, Sequential, MLP, Dropout, Flatten, and the activations, which are their operations and no more."""

import copy
import math

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, errors, nn, optim
from tinygrad_sm.nn.activations import ACTIVATIONS


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, dtype=np.float32):
    return rng(1).normal(size=shape).astype(dtype)


# Linear.


@pytest.mark.parametrize("shape", [(3,), (4, 3), (0, 3), (2, 4, 3), (2, 1, 4, 3)])
def test_linear_is_its_formula(shape):
    layer = nn.Linear(3, 2)
    x = normal(*shape)
    expected = np.einsum("...i,io->...o", x.astype(float), layer.weight.data) + layer.bias.data
    out = layer(x)
    assert out.shape == (*shape[:-1], 2)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.data, expected, rtol=1e-5, atol=1e-6)


def test_linear_has_a_weight_of_in_by_out_in_float32():
    layer = nn.Linear(3, 2)
    assert layer.weight.shape == (3, 2)
    assert layer.bias.shape == (2,)
    assert layer.weight.dtype == layer.bias.dtype == np.float32
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]


def test_linear_without_bias():
    layer = nn.Linear(3, 2, bias=False)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    np.testing.assert_allclose(layer(np.eye(3, dtype=np.float32)).data, layer.weight.data)


def test_linear_in_float64_stays_in_float64():
    layer = nn.Linear(3, 2, dtype=np.float64)
    assert layer.weight.dtype == layer.bias.dtype == np.float64
    out = layer(normal(4, 3, dtype=np.float64))
    assert out.dtype == np.float64
    out.sum().backward()
    assert layer.weight.grad.dtype == np.float64


def test_gradients_of_float32_layers_are_float32_whatever_the_data():
    layer = nn.Linear(3, 2)
    layer(normal(4, 3, dtype=np.float64)).sum().backward()
    assert layer.weight.grad.dtype == layer.bias.grad.dtype == np.float32


@pytest.mark.parametrize(("in_features", "out_features"), [(100, 300), (4, 5000)])
def test_linear_starts_uniform_between_plus_and_minus_one_over_the_root_of_its_inputs(in_features, out_features):
    layer = nn.Linear(in_features, out_features, generator=rng())
    bound = 1 / np.sqrt(in_features)
    for values in (layer.weight.data.ravel(), layer.bias.data):
        # A value of float32 may lie half a unit in the last place above the bound.
        assert np.abs(values).max() <= bound * (1 + 1e-7)
        assert_moments(values, 0.0, bound**2 / 3, kurtosis=1.8)
        # The largest of n uniform values misses the bound by about bound / n.
        assert np.abs(values).max() > bound * (1 - 20 / values.size)


def assert_moments(values, mean, variance, kurtosis):
    """Within five standard errors: of the mean sqrt(v / n), of the variance about v sqrt((kurtosis - 1) / n)."""
    n = values.size
    assert abs(values.mean(dtype=float) - mean) < 5 * np.sqrt(variance / n)
    assert abs(values.var(dtype=float) / variance - 1) < 5 * np.sqrt((kurtosis - 1) / n)


def test_the_same_seed_gives_the_same_weights_and_another_others():
    first, second, third = (nn.Linear(5, 4, generator=rng(seed)).state_dict() for seed in (7, 7, 8))
    np.testing.assert_array_equal(first["weight"], second["weight"])
    np.testing.assert_array_equal(first["bias"], second["bias"])
    assert not np.array_equal(first["weight"], third["weight"])
    generator = rng(7)
    one, two = nn.Linear(5, 4, generator=generator), nn.Linear(5, 4, generator=generator)
    assert not np.array_equal(one.weight.data, two.weight.data)


def test_a_generator_that_is_handed_in_leaves_the_default_one_alone():
    tg.seed(0)
    before = copy.deepcopy(tg.default_generator().bit_generator.state)
    model = nn.MLP([3, 4, 2], dropout=0.5, generator=rng())
    model(normal(2, 3))
    nn.Linear(2, 2, initial=nn.init.kaiming_uniform, generator=rng())
    F.dropout(normal(2, 3), 0.5, generator=rng())
    assert tg.default_generator().bit_generator.state == before


def test_linear_takes_an_initialiser_and_then_a_bias_of_zeros():
    layer = nn.Linear(50, 40, initial=nn.init.xavier_uniform, generator=rng(2), dtype=np.float64)
    np.testing.assert_array_equal(layer.weight.data, nn.init.xavier_uniform((50, 40), generator=rng(2), dtype=float))
    assert layer.weight.dtype == layer.bias.dtype == np.float64
    assert not layer.bias.data.any()


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ("xavier", "initial='xavier'"),
        (np.ones, "initial=.* unexpected keyword argument 'generator'"),
        (lambda shape, **options: np.ones(shape[::-1]), r"initial returned \(3, 2\)"),
        (lambda shape, **options: None, "initial returned None"),
    ],
)
def test_what_is_no_initialiser_is_refused(initial, message):
    with pytest.raises(errors.TinygradError, match=f"Linear: {message}") as caught:
        nn.Linear(2, 3, initial=initial)
    assert caught.value.remedy


@pytest.mark.parametrize("sizes", [(0, 2), (2, 0), (-1, 2), (2.0, 3), ("2", 3), (None, 3)])
def test_sizes_that_are_none_are_refused(sizes):
    with pytest.raises(errors.ArgumentError, match="Linear") as caught:
        nn.Linear(*sizes)
    assert "whole numbers" in caught.value.remedy


def test_sizes_may_be_numpys_integers():
    assert nn.Linear(np.int64(2), np.prod([2, 3])).weight.shape == (2, 6)


def test_integers_are_no_type_for_weights():
    with pytest.raises(errors.DTypeError):
        nn.Linear(2, 3, dtype=np.int64)


def test_an_input_of_the_wrong_width_is_told_with_shapes_and_the_line():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(errors.ShapeError, match=r"linear.*\(7, 4\).*\(5, 2\)") as caught:
        model(np.ones((7, 3), np.float32))  # the second layer does not fit
    assert caught.value.location.source_line.strip().endswith("# the second layer does not fit")
    assert caught.value.location.expression == "model(np.ones((7, 3), np.float32))"
    assert "in_features" in caught.value.remedy


# Sequential.


def test_sequential_is_a_sequence():
    layers = [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)]
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert [a is b for a, b in zip(model, layers, strict=True)] == [True] * 3
    assert model[0] is layers[0]
    assert model[-1] is layers[2]
    with pytest.raises(IndexError):
        model[3]


def test_sequential_applies_its_modules_in_order():
    class Append(nn.Module):
        def __init__(self, letter):
            self.letter = letter

        def forward(self, x):
            return x + self.letter

    assert nn.Sequential(*map(Append, "abc"))("") == "abc"
    assert nn.Sequential(*map(Append, "abcdefghijkl"))("") == "abcdefghijkl"  # ten comes after nine
    assert nn.Sequential()("x") == "x"


def test_a_layer_of_sequential_can_be_exchanged_in_its_place():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    setattr(model, "1", nn.Tanh())
    assert [type(m).__name__ for m in model] == ["Linear", "Tanh", "Linear"]
    x = normal(4, 2)
    np.testing.assert_array_equal(model(x).data, model[2](np.tanh(model[0](x))).data)


def test_what_a_subclass_of_sequential_holds_in_a_list_is_trained_and_not_applied():
    class Watched(nn.Sequential):
        def __init__(self, *modules):
            super().__init__(*modules)
            self.probes = [nn.Linear(7, 7)]

    model = Watched(nn.Linear(2, 3), nn.ReLU())
    assert len(model) == len(list(model)) == 2
    assert isinstance(model[-1], nn.ReLU)
    assert model(normal(4, 2)).shape == (4, 3)
    assert [name for name, _ in model.named_parameters()][2:] == ["probes.0.weight", "probes.0.bias"]


@pytest.mark.parametrize("wrong", [[nn.ReLU()], F.relu, nn.ReLU, None])
def test_what_is_no_module_is_refused(wrong):
    with pytest.raises(errors.ArgumentError, match="item 1 is") as caught:
        nn.Sequential(nn.Linear(1, 1), wrong)
    assert "*modules" in caught.value.remedy


# Activations.


LAYERS = [
    (nn.ReLU(), F.relu, "ReLU()"),
    (nn.LeakyReLU(), F.leaky_relu, "LeakyReLU(0.01)"),
    (nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, negative_slope=0.2), "LeakyReLU(0.2)"),
    (nn.ELU(), F.elu, "ELU(1.0)"),
    (nn.ELU(0.5), lambda x: F.elu(x, alpha=0.5), "ELU(0.5)"),
    (nn.Softplus(), F.softplus, "Softplus()"),
    (nn.Sigmoid(), F.sigmoid, "Sigmoid()"),
    (nn.Tanh(), F.tanh, "Tanh()"),
    (nn.Softmax(), lambda x: F.softmax(x, axis=-1), "Softmax(axis=-1)"),
    (nn.Softmax(axis=0), lambda x: F.softmax(x, axis=0), "Softmax(axis=0)"),
    (nn.LogSoftmax(), lambda x: F.log_softmax(x, axis=-1), "LogSoftmax(axis=-1)"),
    (nn.LogSoftmax(axis=0), lambda x: F.log_softmax(x, axis=0), "LogSoftmax(axis=0)"),
]


@pytest.mark.parametrize(("layer", "function", "shown"), LAYERS, ids=[case[2] for case in LAYERS])
def test_an_activation_layer_is_its_operation(layer, function, shown):
    x = normal(3, 4)
    np.testing.assert_array_equal(layer(x), function(x))
    a, b = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    (layer(a) * x).sum().backward()
    (function(b) * x).sum().backward()
    np.testing.assert_array_equal(a.grad, b.grad)
    assert list(layer.parameters()) == []
    assert repr(layer) == shown


def test_activations_agree_with_closed_forms():
    x = np.array([-2.0, -0.5, 0.5, 2.0])
    positive = x > 0
    forms = {
        "relu": np.where(positive, x, 0),
        "leaky_relu": np.where(positive, x, 0.01 * x),
        "elu": np.where(positive, x, np.exp(x) - 1),
        "softplus": np.log(1 + np.exp(x)),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "tanh": (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1),
        "gelu": [v * math.erfc(-v / math.sqrt(2)) / 2 for v in x],
        "silu": x / (1 + np.exp(-x)),
        "mish": x * np.tanh(np.log(1 + np.exp(x))),
        "selu": 1.0507009873554805 * np.where(positive, x, 1.6732632423543772 * (np.exp(x) - 1)),
        "softsign": x / (1 + np.abs(x)),
        "hardtanh": np.clip(x, -1, 1),
    }
    assert forms.keys() == ACTIVATIONS.keys()
    for name, expected in forms.items():
        np.testing.assert_allclose(ACTIVATIONS[name]()(x), expected, rtol=1e-12)
    weights = np.exp(x)
    np.testing.assert_allclose(nn.Softmax()(x), weights / weights.sum(), rtol=1e-12)
    np.testing.assert_allclose(nn.LogSoftmax()(x), x - np.log(weights.sum()), rtol=1e-12)


@pytest.mark.parametrize("shape", [(4, 2, 3), (4, 3), (4,), (1, 2, 3, 4), (0, 2, 3)])
def test_flatten_keeps_the_first_axis(shape):
    x = Tensor(np.arange(np.prod(shape), dtype=float).reshape(shape), requires_grad=True)
    out = nn.Flatten()(x)
    assert out.shape == (shape[0], int(np.prod(shape[1:])))
    assert out.data.ravel().tolist() == x.data.ravel().tolist()
    out.sum().backward()
    assert x.grad.shape == shape


def test_flatten_takes_a_list_and_refuses_a_number():
    assert nn.Flatten()([[[1.0, 2.0]], [[3.0, 4.0]]]).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    for number in (1.0, np.float32(1), Tensor(1.0)):
        with pytest.raises(errors.ShapeError, match=r"Flatten: x \(\)") as caught:
            nn.Flatten()(number)
        assert "(N, ...)" in caught.value.remedy


# Dropout.


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_dropout_zeroes_a_share_p_and_scales_the_rest(p):
    n = 100_000
    layer = nn.Dropout(p, generator=rng())
    out = layer(np.full(n, 3.0, np.float32))
    assert out.dtype == np.float32
    zeroed = out == 0
    np.testing.assert_allclose(out[~zeroed], 3 / (1 - p), rtol=1e-6)
    # The share is binomial: five standard deviations.
    assert abs(zeroed.mean() - p) < 5 * np.sqrt(p * (1 - p) / n)


def test_dropout_is_the_identity_in_evaluation_and_for_zero():
    x = Tensor(normal(3, 4), requires_grad=True)
    assert nn.Dropout(0.5).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    assert F.dropout(x, 0.9, training=False) is x


def test_making_a_dropout_draws_nothing():
    generator = rng(4)
    nn.Dropout(0.5, generator=generator)
    assert generator.bit_generator.state == rng(4).bit_generator.state


def test_dropout_drops_again_after_train():
    layer = nn.Dropout(0.5).eval()
    ones = np.ones(1000)
    assert (layer(ones) == 1).all()
    assert not (layer.train()(ones) == 1).all()


def test_dropout_is_reproduced_by_its_generator_and_by_the_seed():
    ones = np.ones(50)
    first, second = (nn.Dropout(0.5, generator=rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first(ones), second(ones))
    assert not np.array_equal(first(ones), nn.Dropout(0.5, generator=rng(4))(ones))  # the second draw of the first
    outs = []
    for _ in range(2):
        tg.seed(11)
        outs.append(nn.Dropout(0.5)(ones))
    np.testing.assert_array_equal(*outs)


def test_the_gradient_goes_where_the_values_went():
    x = Tensor(normal(40), requires_grad=True)
    out = nn.Dropout(0.4, generator=rng())(x)
    out.sum().backward()
    kept = out.data != 0
    assert 0 < kept.sum() < 40
    np.testing.assert_allclose(x.grad, np.where(kept, 1 / 0.6, 0), rtol=1e-6)


def test_the_draw_is_on_the_tape_and_can_be_repeated():
    x = Tensor(np.ones(200), requires_grad=True)
    out = nn.Dropout(0.5, generator=rng(3))(x)
    (node,) = (node for node in out.tape() if node.op)
    assert (node.name, node.module) == ("dropout", "Dropout")
    (effect,) = node.effects
    assert (effect.kind, effect.argument) == ("draw", "mask")
    mask = node.args[node.op.parameters.index("mask")]
    np.testing.assert_array_equal(mask, out.data != 0)
    fresh = effect.repeat()
    assert fresh.shape == mask.shape
    assert fresh.dtype == mask.dtype
    assert not np.array_equal(fresh, mask)
    # What is repeated is the next draw of the same generator.
    same = nn.Dropout(0.5, generator=rng(3))
    same(np.ones(200))
    np.testing.assert_array_equal(same(np.ones(200)) != 0, fresh)
    # The op itself, run again on the recorded mask, gives the recorded values.
    np.testing.assert_array_equal(node.op.run(node.args, node.kwargs), out.data)


def test_nothing_else_on_the_tape_of_a_model_has_effects():
    model = nn.MLP([3, 4, 4, 2], dropout=0.5, generator=rng())
    drawn = [node.module for node in model(normal(2, 3)).tape() if node.effects]
    assert drawn == ["2.Dropout", "5.Dropout"]
    assert [node for node in model.eval()(normal(2, 3)).tape() if node.effects] == []


@pytest.mark.parametrize("p", [-0.1, 1.0, 1, 2, float("nan"), "a", None, True, [0.1, 0.2]])
def test_a_probability_that_is_none_is_refused(p):
    for call in (lambda: nn.Dropout(p), lambda: F.dropout(np.ones(3), p)):
        with pytest.raises(errors.ArgumentError) as caught:
            call()
        assert str(p) in caught.value.message
        assert "probability" in caught.value.remedy


# MLP.


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_mlp_alternates_linear_layers_and_activations(activation):
    model = nn.MLP([5, 4, 3, 2], activation)
    kind = ACTIVATIONS[activation]
    assert [type(m) for m in model] == [nn.Linear, kind, nn.Linear, kind, nn.Linear]
    assert [m.weight.shape for m in model if isinstance(m, nn.Linear)] == [(5, 4), (4, 3), (3, 2)]
    assert [name for name, _ in model.named_parameters()] == [f"{i}.{n}" for i in (0, 2, 4) for n in ("weight", "bias")]
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert model(normal(7, 5)).shape == (7, 2)


def test_an_mlp_computes_what_is_written_out_by_hand():
    model = nn.MLP([3, 4, 2], "tanh")
    x = normal(5, 3)
    W, b, V, c = model.state_dict().values()
    np.testing.assert_allclose(model(x).data, np.tanh(x @ W + b) @ V + c, rtol=1e-5, atol=1e-6)


def test_dropout_follows_every_activation_of_an_mlp():
    model = nn.MLP([3, 4, 4, 2], dropout=0.25, generator=rng())
    block = [nn.Linear, nn.ReLU, nn.Dropout]
    assert [type(m) for m in model] == [*block, *block, nn.Linear]
    assert {m.p for m in model if isinstance(m, nn.Dropout)} == {0.25}
    x = normal(6, 3)
    assert not np.array_equal(model(x).data, model(x).data)
    model.eval()
    np.testing.assert_array_equal(model(x).data, model(x).data)


def test_an_mlp_without_hidden_layers_is_linear():
    assert [type(m) for m in nn.MLP([3, 2], dropout=0.5)] == [nn.Linear]


def test_an_mlp_may_be_given_a_tuple_and_is_seeded():
    tg.seed(3)
    first = nn.MLP((3, 4, 2)).state_dict()
    tg.seed(3)
    second = nn.MLP([3, 4, 2]).state_dict()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    third, fourth = (nn.MLP([3, 4, 2], generator=rng(3)).state_dict() for _ in range(2))
    for name in third:
        np.testing.assert_array_equal(third[name], fourth[name])


@pytest.mark.parametrize(
    ("activation", "variance", "kurtosis"),
    [
        ("relu", 2 / 300, 3.0),
        ("leaky_relu", 2 / 300, 3.0),
        ("elu", 2 / 300, 3.0),
        ("softplus", 2 / 300, 3.0),
        ("tanh", 2 / (300 + 200), 1.8),
        ("sigmoid", 2 / (300 + 200), 1.8),
    ],
)
def test_an_mlp_starts_from_kaiming_for_rectifiers_and_from_xavier_for_others(activation, variance, kurtosis):
    model = nn.MLP([300, 200, 10], activation, generator=rng())
    values = model[0].weight.data.ravel()
    assert_moments(values, 0.0, variance, kurtosis)
    assert (np.abs(values).max() > 1.01 * np.sqrt(3 * variance)) == (kurtosis == 3.0)  # beyond which no uniform goes
    assert all(not m.bias.data.any() for m in model if isinstance(m, nn.Linear))


@pytest.mark.parametrize(
    ("arguments", "message", "remedy"),
    [
        (([3],), r"MLP\(\[3\]\)", "input and the output"),
        (([],), r"MLP\(\[\]\)", "input and the output"),
        (([3, 0, 2],), r"Linear: out_features=0", "at least 1"),
        (([3, 2.5, 2],), r"Linear: out_features=2.5", "whole numbers"),
        (([3, 4, 2], "rleu"), "'rleu'", "leaky_relu"),
        (([3, 4, 2], "linear"), "'linear'", "relu"),
        (([3, 4, 2], ["relu"]), r"\['relu'\]", "relu"),
        ((3, 2), "MLP: sizes=3", r"MLP([64, 32, 10])"),
    ],
)
def test_an_mlp_that_cannot_be_is_refused(arguments, message, remedy):
    with pytest.raises(errors.ArgumentError, match=message) as caught:
        nn.MLP(*arguments)
    assert remedy in caught.value.remedy
    assert caught.value.location.expression == "nn.MLP(*arguments)"


@pytest.mark.parametrize("dropout", [1.0, -0.5, 3])
def test_an_mlp_with_an_impossible_dropout_is_refused(dropout):
    with pytest.raises(errors.ArgumentError, match="dropout: p="):
        nn.MLP([3, 4, 2], dropout=dropout)


@pytest.mark.parametrize("activation", ["tanh", "softplus", "sigmoid", "elu"])
def test_first_and_second_derivatives_of_a_small_mlp_agree_with_finite_differences(activation):
    model = nn.MLP([3, 4, 2], activation)
    owners = [(m, name) for m in model if isinstance(m, nn.Linear) for name in ("weight", "bias")]
    values = [getattr(m, name).data.astype(float) + 0.1 for m, name in owners]

    def loss(x, *parameters):
        for (owner, name), value in zip(owners, parameters, strict=True):
            setattr(owner, name, value)
        return F.cross_entropy(model(x), np.array([1, 0, 1]))

    assert tg.gradcheck(loss, [normal(3, 3, dtype=float), *values], order=2)


def test_an_mlp_learns_exclusive_or():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    labels = np.array([0, 1, 1, 0])
    model = nn.MLP([2, 16, 2], generator=rng())
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert model(x).data.argmax(axis=1).tolist() == labels.tolist()
