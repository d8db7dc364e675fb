"""Batch, layer and group normalisation where they are hard: constants, large means, single values, large arrays."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, errors, threads


def rng(seed=0):
    return np.random.default_rng(seed)


def by_hand(x, axes, eps=1e-5):
    """Values standardised over axes in 64 bits, by loops over what is not reduced."""
    x = np.asarray(x, np.float64)
    out, axes = np.empty_like(x), [axis % x.ndim for axis in axes]
    for place in np.ndindex(*[1 if i in axes else n for i, n in enumerate(x.shape)]):
        index = tuple(slice(None) if i in axes else j for i, j in enumerate(place))
        values = x[index].ravel().tolist()
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        out[index] = (x[index] - mean) / np.sqrt(variance + eps)
    return out


def layer(x, w=None, b=None):
    return F.layer_norm(x, x.shape[-1:], w, b)


def group(x, w=None, b=None):
    return F.group_norm(x, 2, w, b)


def batch(x, w=None, b=None):
    return F.batch_norm(x, None, None, w, b, training=True)


NORMS = {"layer": layer, "group": group, "batch": batch}
every_norm = pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)


def axes_of(norm):
    return {layer: (-1,), batch: (0, 2)}[norm]


def test_values_written_out():
    x = np.array([[1.0, 2.0, 3.0, 6.0], [4.0, 4.0, 0.0, 8.0]])
    np.testing.assert_allclose(layer(x), by_hand(x, (1,)), rtol=1e-14)
    np.testing.assert_allclose(batch(x), by_hand(x, (0,)), rtol=1e-14)
    np.testing.assert_allclose(group(x).reshape(2, 2, 2), by_hand(x.reshape(2, 2, 2), (2,)), rtol=1e-14)


def test_two_values_have_a_derivative_that_is_known():
    """x_hat = d / sqrt(d**2 + eps) for the half difference d, of which the derivative is eps / (d**2 + eps)**1.5."""
    x = Tensor([[3.0, 1.0]], requires_grad=True)
    layer(x, np.array([2.0, 2.0])).backward(np.array([[1.0, 0.0]]))
    slope = 1e-5 / (1 + 1e-5) ** 1.5
    np.testing.assert_allclose(x.grad, [[slope, -slope]], rtol=1e-9)


@every_norm
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_equal_values_give_the_bias_and_the_cotangent_less_its_mean(norm, dtype):
    x = Tensor(np.full((5, 6, 7), 0.1, dtype), requires_grad=True)
    n = 7 if norm is layer else 6
    weight, bias = rng().standard_normal(n).astype(dtype), rng(1).standard_normal(n).astype(dtype)
    out = norm(x, Tensor(weight, requires_grad=True), Tensor(bias, requires_grad=True))
    expected = bias if norm is layer else bias[:, None]
    np.testing.assert_array_equal(out.data, np.broadcast_to(expected, out.shape))
    out.backward(np.ones(out.shape))
    if norm is batch:  # equal cotangents for equal values
        np.testing.assert_allclose(x.grad, 0, atol=1e-3 if dtype == np.float16 else 1e-4)
    assert out.dtype == x.grad.dtype == dtype


def test_equal_values_have_the_slope_that_eps_leaves():
    x = Tensor([[5.0, 5.0]], requires_grad=True)
    F.layer_norm(x, 2, eps=0.25).backward(np.array([[1.0, 0.0]]))
    np.testing.assert_array_equal(x.grad, [[1.0, -1.0]])  # (g - mean g) / sqrt(0 + 0.25)


@pytest.mark.parametrize("mean", [1e3, 1e6, -3e7])
@every_norm
def test_a_large_mean_in_32_bits_does_no_harm(norm, mean):
    x = (mean + 8 * rng().standard_normal((9, 4, 11))).astype(np.float32)
    rows = x.reshape(9, 2, 22) if norm is group else x
    expected = by_hand(rows, (-1,) if norm is group else axes_of(norm)).reshape(x.shape)
    leaf = Tensor(x, requires_grad=True)
    out = norm(leaf)
    np.testing.assert_allclose(out.data, expected, rtol=1e-5, atol=2e-6)
    cotangent = rng(1).standard_normal(x.shape)
    out.backward(cotangent)
    exact = Tensor(x.astype(np.float64), requires_grad=True)
    norm(exact).backward(cotangent)
    np.testing.assert_allclose(leaf.grad, exact.grad, rtol=1e-4, atol=1e-6)


def test_running_statistics_of_a_large_mean_in_32_bits():
    x = (1e6 + 8 * rng().standard_normal((500, 2))).astype(np.float32)
    mean, var = np.zeros(2, np.float32), np.ones(2, np.float32)
    F.batch_norm(x, mean, var, training=True, momentum=1.0)
    np.testing.assert_allclose(mean, x.astype(float).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(var, x.astype(float).var(axis=0, ddof=1), rtol=1e-5)


def test_a_row_that_is_undefined_leaves_the_others_alone():
    x = np.array([[1.0, np.inf, 0.0], [1.0, 2.0, 4.0], [np.nan, 0.0, 0.0]])
    leaf = Tensor(x, requires_grad=True)
    with np.errstate(invalid="ignore"):
        out = layer(leaf)
    out.sum().backward()
    assert np.isnan(out.data[[0, 2]]).all()
    assert np.isfinite(leaf.grad[1]).all()
    np.testing.assert_allclose(out.data[1], by_hand(x[1:2], (1,))[0])


def test_one_value_alone_gives_the_bias_in_a_layer_and_is_refused_in_a_batch():
    x = Tensor([[3.0], [7.0]], requires_grad=True)
    out = F.layer_norm(x, 1, bias=np.array([0.5]))
    out.sum().backward()
    np.testing.assert_array_equal(out.data, [[0.5], [0.5]])
    np.testing.assert_array_equal(x.grad, [[0.0], [0.0]])
    for shape in ((1, 3), (1, 3, 1), (1, 3, 1, 1), (0, 3)):
        with pytest.raises(errors.ShapeError, match="no two values per channel") as caught:
            batch(np.ones(shape))
        assert "eval()" in caught.value.remedy


def test_one_example_is_enough_where_it_has_several_positions_and_in_evaluation():
    assert batch(np.ones((1, 3, 2))).shape == (1, 3, 2)
    out = F.batch_norm(np.array([[3.0, 1.0]]), np.array([1.0, 1.0]), np.array([4.0, 1.0]), eps=1e-30)
    np.testing.assert_array_equal(out, [[1.0, 0.0]])


def test_empty_batches():
    for norm in (layer, group):
        x = Tensor(np.ones((0, 4, 3)), requires_grad=True)
        weight = Tensor(np.ones(3 if norm is layer else 4), requires_grad=True)
        norm(x, weight).sum().backward()
        assert x.grad.shape == (0, 4, 3)
        np.testing.assert_array_equal(weight.grad, 0)
    assert F.batch_norm(np.ones((0, 2)), np.zeros(2), np.ones(2)).shape == (0, 2)


def test_whole_numbers_become_floating():
    assert layer(np.array([[1, 3]])).dtype == np.float64
    assert batch(np.array([[1], [3]])).dtype == np.float64
    np.testing.assert_allclose(group(np.array([[1, 3, 5, 5]]))[0, 2:], 0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: F.layer_norm(np.ones((2, 3)), 4), r"x \(2, 3\) does not end in normalized_shape \(4,\)"),
        (lambda: F.layer_norm(np.ones((2, 3)), (1, 2, 3)), "does not end in"),
        (lambda: F.layer_norm(np.ones((2, 3)), ()), "does not end in"),
        (lambda: F.layer_norm(np.ones((2, 0)), 0), "does not end in"),
        (lambda: F.layer_norm(np.ones((2, 3)), 3, np.ones(1)), r"weight \(1,\) does not fit x \(2, 3\)"),
        (lambda: F.layer_norm(np.ones((2, 3)), 3, None, np.ones((2, 3))), "bias"),
        (lambda: F.layer_norm(np.ones((2, 3)), 3, eps=0), "eps=0"),
        (lambda: F.layer_norm(np.ones((2, 3)), 3, eps=np.nan), "eps=nan"),
        (lambda: F.group_norm(np.ones((2, 3)), 2), "num_groups=2 does not divide the 3 channels"),
        (lambda: F.group_norm(np.ones((2, 4)), 0), "num_groups=0"),
        (lambda: F.group_norm(np.ones((2, 4)), 2.0), "num_groups=2.0"),
        (lambda: F.group_norm(np.ones(4), 2), "has no channels"),
        (lambda: F.group_norm(np.ones((2, 4)), 2, np.ones(2)), r"weight \(2,\)"),
        (lambda: batch(np.ones(4)), "has no channels"),
        (lambda: batch(np.ones((4, 2)), np.ones(3)), r"weight \(3,\) does not fit x \(4, 2\)"),
        (lambda: F.batch_norm(np.ones((4, 2)), np.ones(3), np.ones(2)), r"batch_norm: running_mean \(3,\)"),
        (lambda: F.batch_norm(np.ones((4, 2)), np.ones(2), np.ones(2), eps=-1), "batch_norm: eps=-1"),
        (lambda: F.batch_norm(np.ones((4, 2))), "evaluation without running_mean and running_var"),
        (lambda: F.batch_norm(np.ones((4, 2)), training=True, momentum=None), "momentum=None"),
        (lambda: F.batch_norm(np.ones((4, 2)), training=True, momentum=1.5), "momentum=1.5"),
        (lambda: F.batch_norm(np.ones((4, 2)), training=True, momentum="a"), "momentum='a'"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(call, said):
    with pytest.raises(ValueError, match=said) as caught:
        call()
    assert caught.value.remedy


def test_running_statistics_move_by_the_momentum_and_are_unbiased():
    x = np.array([[1.0], [3.0], [8.0]])  # mean 4, variance 13
    mean, var = np.array([2.0]), np.array([1.0])
    F.batch_norm(x, mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, [2.5])
    np.testing.assert_allclose(var, [4.0])
    F.batch_norm(x, mean, var)  # evaluation leaves them as they are
    np.testing.assert_allclose([mean, var], [[2.5], [4.0]])


def test_running_statistics_are_written_also_without_recording_and_never_when_refused():
    mean, var = Tensor(np.zeros(1)), Tensor(np.ones(1))
    x = Tensor([[1.0], [3.0]], requires_grad=True)
    with tg.no_grad():
        F.batch_norm(x, mean, var, training=True, momentum=1.0)
    assert (mean.item(), var.item()) == (2.0, 2.0)
    with pytest.raises(errors.ShapeError):
        F.batch_norm(x[:1], mean, var, training=True, momentum=1.0)
    assert (mean.item(), var.item()) == (2.0, 2.0)


@pytest.mark.parametrize("mean", [[0.0, 0.0], np.zeros(2, int), np.broadcast_to(0.0, 2)])
def test_statistics_that_cannot_be_updated_are_refused(mean):
    with pytest.raises(errors.DTypeError, match=r"running_mean .* cannot be updated"):
        F.batch_norm(np.ones((4, 2)), mean, np.ones(2), training=True)
    np.testing.assert_allclose(F.batch_norm(np.ones((4, 2)), mean, np.ones(2), eps=1e-9), 1)


def test_the_average_of_all_batches():
    batches = [rng(i).standard_normal((4 + i, 2)) for i in range(3)]
    mean, var, count = np.full(2, 9.0), np.full(2, 9.0), np.array(0)
    for x in batches:
        F.batch_norm(x, mean, var, training=True, momentum=None, num_batches_tracked=count)
    np.testing.assert_allclose(mean, np.mean([x.mean(axis=0) for x in batches], axis=0))
    np.testing.assert_allclose(var, np.mean([x.var(axis=0, ddof=1) for x in batches], axis=0))
    assert count == 3


def test_backward_after_another_batch_has_moved_the_statistics():
    mean, var = Tensor(np.zeros(2)), Tensor(np.ones(2))
    x, y = (Tensor(rng(i).standard_normal((4, 2)), requires_grad=True) for i in range(2))
    loss = (F.batch_norm(x, mean, var, training=True) * F.batch_norm(y, mean, var, training=True)).sum()
    F.batch_norm(x, mean, var, training=True)
    loss.backward()
    again = (batch(x) * batch(y)).sum()
    np.testing.assert_allclose(x.grad, tg.gradients(again, x).data)


def test_what_was_read_of_the_statistics_before_they_moved_is_stale():
    mean = Tensor(np.zeros(2))
    x = Tensor(rng().standard_normal((4, 2)), requires_grad=True)
    loss = (x * mean).sum()
    F.batch_norm(x, mean, np.ones(2), training=True)
    with pytest.raises(errors.StaleValueError):
        loss.backward()


def test_evaluation_differentiates_by_everything_that_carries_a_gradient():
    x, mean, weight, bias = (
        Tensor(rng(i).standard_normal(s), requires_grad=True) for i, s in enumerate([(4, 2), *[(2,)] * 3])
    )
    var = Tensor(rng(5).uniform(0.5, 2, 2), requires_grad=True)
    assert tg.gradcheck(lambda *a: F.batch_norm(*a), [t.data for t in (x, mean, var, weight, bias)], order=2)


# Large arrays, in blocks of rows.


@pytest.fixture
def tiny_blocks(monkeypatch):
    """Arrays of more than 16 elements are large, and a block has 16 as well; two threads."""
    before = tg.get_num_threads()
    tg.set_num_threads(2)
    monkeypatch.setattr(threads, "LARGE", 16)
    monkeypatch.setattr(threads, "BLOCK", 16)
    yield
    tg.set_num_threads(before)


def value_and_gradients(norm, *arrays):
    leaves = [Tensor(array, requires_grad=True) for array in arrays]
    out = norm(*leaves)
    cotangent = rng(7).standard_normal(out.shape)
    out.backward(cotangent)
    return [out.data, *[leaf.grad for leaf in leaves]]


@every_norm
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("parameters", [0, 1, 2])
@pytest.mark.parametrize("shape", [(9, 4, 5), (2, 6, 3)])
def test_blocks_give_what_the_whole_array_gives(norm, dtype, parameters, shape, tiny_blocks, monkeypatch):
    n = shape[-1] if norm is layer else shape[1]
    arrays = [rng(1).standard_normal(shape) + 3, *[rng(i).standard_normal(n) for i in range(parameters)]]
    arrays = [array.astype(dtype) for array in arrays]
    got = value_and_gradients(norm, *arrays)
    again = value_and_gradients(norm, *arrays)
    monkeypatch.setattr(threads, "LARGE", 10**9)
    expected = value_and_gradients(norm, *arrays)
    for one, two, other in zip(got, again, expected, strict=True):
        assert one.dtype == other.dtype == dtype
        np.testing.assert_array_equal(one, two)  # whichever thread takes which block
        np.testing.assert_allclose(
            one, other, rtol=1e-10 if dtype == np.float64 else 1e-3, atol=1e-12 if dtype == np.float64 else 1e-5
        )


@every_norm
def test_blocks_are_as_exact_and_their_second_derivatives_the_same(norm, tiny_blocks):
    constant = Tensor(np.full((6, 4, 5), 0.1, np.float32), requires_grad=True)
    np.testing.assert_array_equal(norm(constant).data, 0)
    x = (1e6 + 8 * rng().standard_normal((9, 4, 11))).astype(np.float32)
    rows = x.reshape(9, 2, 22) if norm is group else x
    expected = by_hand(rows, (-1,) if norm is group else axes_of(norm)).reshape(x.shape)
    np.testing.assert_allclose(norm(Tensor(x)).data, expected, rtol=1e-5, atol=3e-6)
    small = rng(2).standard_normal((3, 4, 2))
    assert tg.gradcheck(norm, [small], order=2)


def test_blocks_move_the_same_statistics(tiny_blocks):
    x = rng().standard_normal((6, 3, 4)) + 5
    mean, var = np.zeros(3), np.ones(3)
    F.batch_norm(x, mean, var, training=True, momentum=1.0)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2)))
    np.testing.assert_allclose(var, x.swapaxes(0, 1).reshape(3, -1).var(axis=1, ddof=1))


@every_norm
def test_blocks_of_any_layout_in_memory_and_backward_twice(norm, tiny_blocks):
    x = rng().standard_normal((5, 4, 9)).swapaxes(0, 2)
    got = value_and_gradients(norm, x)
    expected = value_and_gradients(norm, np.ascontiguousarray(x))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)
    leaf = Tensor(x, requires_grad=True)
    loss = (norm(leaf) ** 2 * np.arange(9.0)[:, None, None]).sum()
    loss.backward()
    once = leaf.grad.copy()
    loss.backward()
    np.testing.assert_allclose(leaf.grad, 2 * once, rtol=1e-10, atol=1e-13)


@every_norm
def test_compiled_functions_work_in_blocks_too(norm, tiny_blocks):
    compiled = tg.compile(lambda x: norm(x))
    for seed in range(3):
        x = rng(seed).standard_normal((6, 4, 5))
        np.testing.assert_allclose(compiled(x), norm(x), rtol=1e-12, atol=1e-14)
