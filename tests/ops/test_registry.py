"""What holds for every operation of the registry, from the samples that each carries: the proof of the derivatives."""

import numpy as np
import pytest
from calls import (
    CALLS,
    DIFFERENTIABLE,
    NAMES,
    Call,
    assert_all_close,
    central_differences,
    derivatives,
    scalar_of,
    slope_along,
    variables,
)

import tinygrad_sm as tg

every_call = pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)


@every_call
def test_gradient_equals_finite_differences(op, number):
    call = Call(op, number)
    cotangent = call.cotangent()
    got = derivatives(call, call.arrays, cotangent)
    assert_all_close(got, central_differences(scalar_of(call, cotangent), call.arrays))


@every_call
def test_derivative_of_the_gradient_equals_finite_differences(op, number):
    call = Call(op, number)
    n = len(call.arrays)
    inputs = [*call.arrays, call.cotangent()]  # the gradient is a function of the cotangent too
    weights = [call.rng.standard_normal(array.shape) for array in call.arrays]

    def weighted_gradient(*arrays):
        slopes = derivatives(call, arrays[:n], arrays[n])
        return float(sum(np.vdot(w, slope) for w, slope in zip(weights, slopes, strict=True)))

    leaves = variables(inputs)
    slopes = tg.gradients(call(*leaves[:n]), leaves[:n], create_graph=True, cotangent=leaves[n])
    total = sum((slope * w).sum() for slope, w in zip(slopes, weights, strict=True))
    got = tg.gradients(total, leaves)
    assert_all_close([g.data for g in got], central_differences(weighted_gradient, inputs))


@every_call
def test_gradcheck_of_second_order_agrees(op, number):
    call = Call(op, number, seed=1)
    assert tg.gradcheck(call, call.arrays, order=2)


@every_call
@pytest.mark.parametrize("seed", [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)])
def test_gradient_times_a_direction_is_the_slope_along_it(op, number, seed):
    call = Call(op, number, seed)
    cotangent = call.cotangent()
    directions = [call.rng.standard_normal(array.shape) for array in call.arrays]
    # Short directions, so that no sample with ties or kinks is moved over one.
    directions = [v / max(1.0, np.abs(v).max(initial=0.0)) for v in directions]
    got = derivatives(call, call.arrays, cotangent)
    along = sum(np.vdot(g, v) for g, v in zip(got, directions, strict=True))
    np.testing.assert_allclose(along, slope_along(scalar_of(call, cotangent), call.arrays, directions), 1e-5, 1e-7)


@every_call
def test_float32_stays_float32(op, number):
    call, reference = Call(op, number, dtype=np.float32), Call(op, number)
    leaves = variables(call.arrays)
    out = call(*leaves)
    assert isinstance(out.data, np.ndarray)
    assert out.dtype == (call.args[1] if op.name == "astype" else np.float32)
    np.testing.assert_allclose(out.data, reference(*reference.arrays), rtol=1e-4, atol=1e-5)
    cotangent = reference.cotangent()
    out.backward(cotangent)
    for leaf, expected in zip(leaves, derivatives(reference, reference.arrays, cotangent), strict=True):
        assert isinstance(leaf.grad, np.ndarray)
        assert leaf.grad.dtype == np.float32
        np.testing.assert_allclose(leaf.grad, expected, rtol=1e-3, atol=1e-4)


@every_call
def test_second_derivatives_of_float32_are_float32(op, number):
    call = Call(op, number, dtype=np.float32)
    leaves = variables(call.arrays)
    slopes = tg.gradients(call(*leaves), leaves, create_graph=True, cotangent=call.cotangent())
    assert {slope.dtype for slope in slopes} == {np.dtype(np.float32)}
    total = sum((slope * slope).sum() for slope in slopes)
    if total.requires_grad:
        assert {slope.dtype for slope in tg.gradients(total, leaves)} == {np.dtype(np.float32)}


FUSED = ["linear", "logsumexp", "softmax", "log_softmax", "cross_entropy", "binary_cross_entropy_with_logits"]
FUSED += ["sigmoid", "softplus", "mse_loss"]
FUSED += ["log_sigmoid", "silu", "gelu", "glu", "huber_loss", "smooth_l1_loss", "kl_div", "focal_loss"]
FUSED += ["hinge_loss", "logsumexp_hinge_loss", "softplus_hinge_loss"]


def test_every_fused_operation_has_its_textbook_spelling():
    assert set(FUSED) <= {op.name for op in DIFFERENTIABLE if op.unfused}


@pytest.mark.parametrize(
    ("op", "number"),
    [(op, number) for op, number in CALLS if op.unfused],
    ids=[name for (op, _), name in zip(CALLS, NAMES, strict=True) if op.unfused],
)
def test_fused_operation_equals_its_textbook_spelling(op, number):
    call = Call(op, number)
    cotangent = call.cotangent()
    results = []
    for spelling in (op, op.unfused):
        leaves = variables(call.arrays)
        out = call(*leaves, using=spelling)
        first = tg.gradients(out, leaves, create_graph=True, cotangent=cotangent)
        total = sum((g * g).sum() for g in first)
        second = tg.gradients(total, leaves) if total.requires_grad else [0 * leaf for leaf in leaves]
        results.append([t.data for t in (out, *first, *second)])
    assert_all_close(*results, rtol=1e-9, atol=1e-12)


def einsum_of_a_list(operands, subscripts, **options):
    return np.einsum(subscripts, *operands, **options)


def numpy_calls():
    for (op, number), name in zip(CALLS, NAMES, strict=True):
        for function in op.numpy:
            function = einsum_of_a_list if function is np.einsum else function
            yield pytest.param(op, number, function, id=f"{name}-{function.__name__}")


@pytest.mark.parametrize(("op", "number", "function"), list(numpy_calls()))
def test_numpy_function_of_a_tensor_is_the_operation(op, number, function):
    call = Call(op, number)
    try:
        expected = call(*call.arrays, using=function)
    except TypeError:
        assert op.name == "clip"  # before NumPy 2.1 it wanted both bounds
        return
    leaves, others = variables(call.arrays), variables(call.arrays)
    out, direct = call(*leaves, using=function), call(*others)
    assert isinstance(out, tg.Tensor)
    assert op in [node.op for node in out.tape()]
    np.testing.assert_allclose(out.data, expected, rtol=1e-12, atol=1e-15)
    cotangent = call.cotangent()
    out.backward(cotangent)
    direct.backward(cotangent)
    for leaf, other in zip(leaves, others, strict=True):
        np.testing.assert_array_equal(leaf.grad, other.grad)


def every_other(x):
    return x[(..., *[slice(None, None, 2)] * x.ndim)]


def backwards(x):
    return x[(..., *[slice(None, None, -1)] * x.ndim)]


def widened(array):
    """An array of which every other element along each axis makes the given one."""
    wide = np.full([2 * n for n in array.shape], np.nan)
    every_other(wide)[...] = array
    return wide


# How an array lies in memory, as a view and the array in C order that it is a view of.
LAYOUTS = {
    "columns first": (lambda x: x.T, lambda array: np.ascontiguousarray(array.T).reshape(array.T.shape)),
    "with gaps": (every_other, widened),
    "backwards": (backwards, lambda array: backwards(array).copy()),
}


@every_call
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_in_memory_makes_no_difference(op, number, layout):
    view, base_of = LAYOUTS[layout]
    call = Call(op, number)
    cotangent = call.cotangent()
    expected = call(*call.arrays), *derivatives(call, call.arrays, cotangent)

    bases = [base_of(array) for array in call.arrays]
    leaves = variables(bases)
    views = [view(leaf) for leaf in leaves]
    out = call(*views)
    out.backward(view(base_of(cotangent)), retain_grads=True)
    assert_all_close([out.data, *(each.grad for each in views)], expected, rtol=1e-12, atol=1e-14)
    assert_all_close([view(leaf.grad) for leaf in leaves], expected[1:], rtol=1e-12, atol=1e-14)


@every_call
def test_broadcast_and_read_only_arrays_are_as_good_as_copies(op, number):
    call = Call(op, number)
    repeated = [np.broadcast_to(array.flat[0] if array.size else array, array.shape) for array in call.arrays]
    cotangent = call.cotangent()
    try:
        expected = call(*[array.copy() for array in repeated])
    except tg.errors.MatrixError:
        return  # rows that are all the same
    np.testing.assert_allclose(call(*repeated), expected, rtol=1e-13, atol=1e-15)
    slopes = derivatives(call, [array.copy() for array in repeated], cotangent)

    leaves = [tg.Tensor(array.flat[0] if array.size else array, requires_grad=True) for array in repeated]
    views = [np.broadcast_to(leaf, array.shape) for leaf, array in zip(leaves, repeated, strict=True)]
    out = call(*views)
    out.backward(cotangent, retain_grads=True)
    assert_all_close([out.data, *(each.grad for each in views)], [expected, *slopes], rtol=1e-12, atol=1e-14)


@every_call
def test_second_backward_doubles_every_bit(op, number):
    call = Call(op, number)
    leaves = variables(call.arrays)
    cotangent = call.cotangent()
    out = call(*leaves)
    out.backward(cotangent)
    once = [leaf.grad.copy() for leaf in leaves]
    out.backward(cotangent)
    for leaf, grad in zip(leaves, once, strict=True):
        np.testing.assert_array_equal(leaf.grad, grad + grad)


@every_call
def test_neither_forward_nor_backward_changes_what_it_was_given(op, number):
    call = Call(op, number)
    leaves = variables(call.arrays)
    cotangent = call.cotangent()
    before = [array.copy() for array in (*call.arrays, cotangent)]
    out = call(*leaves)
    value = out.data.copy()
    out.backward(cotangent)
    for array, old in zip([*(leaf.data for leaf in leaves), cotangent], before, strict=True):
        np.testing.assert_array_equal(array, old)
    np.testing.assert_array_equal(out.data, value)


@every_call
def test_gradients_share_memory_with_nothing(op, number):
    call = Call(op, number)
    leaves = variables(call.arrays)
    cotangent = call.cotangent()
    out = call(*leaves)
    out.backward(cotangent)
    constants = [value for value in (*call.args, *call.kwargs.values()) if isinstance(value, np.ndarray)]
    held = [*(leaf.data for leaf in leaves), out.data, cotangent, *constants]
    grads = [leaf.grad for leaf in leaves]
    for i, grad in enumerate(grads):
        assert not any(np.shares_memory(grad, other) for other in (*held, *grads[:i]))
        assert grad.flags.writeable
