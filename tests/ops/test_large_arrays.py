"""Softmaxes and losses of large arrays, which work in blocks of rows: the same as those that work on the whole array.

Most of these tests make blocks tiny, so that many of them fit into arrays that can be checked in no time.
"""

import functools
import gc
import itertools
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from calls import DIFFERENTIABLE, Call

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, threads
from tinygrad_sm.errors import ShapeError, TargetError

INF, NAN = np.inf, np.nan
FAMILY = [op for op in DIFFERENTIABLE if op.__module__.endswith(("softmax_family", "loss"))]
ROWS, CLASSES = 23, 7


@pytest.fixture(autouse=True)
def _tiny_blocks(monkeypatch):
    """Arrays of more than 16 elements are large, and a block has 16 as well; two threads."""
    monkeypatch.setattr(threads, "LARGE", 16)
    monkeypatch.setattr(threads, "BLOCK", 16)
    before = tg.get_num_threads()
    tg.set_num_threads(2)
    yield
    tg.set_num_threads(before)


@pytest.fixture
def whole(monkeypatch):
    """A function that calls another one while no array is large."""

    def call(f, *args):
        with monkeypatch.context() as patch:
            patch.setattr(threads, "LARGE", 10**9)
            return f(*args)

    return call


def value_and_gradient(f, *arrays, seed=0):
    leaves = [Tensor(array, requires_grad=True) for array in arrays]
    out = f(*leaves)
    cotangent = np.random.default_rng(seed).uniform(-1, 1, out.shape).astype(out.dtype)
    out.backward(cotangent)
    return [out.data, *(leaf.grad for leaf in leaves)]


def assert_same(got, expected, rtol=None):
    """Alike to rounding, infinities and NaN included, in shape and type too."""
    for one, other in zip(got, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        tolerance = rtol or 8 * np.finfo(other.dtype).eps
        scale = np.abs(other[np.isfinite(other)]).max(initial=0)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


def logits(rows=ROWS, classes=CLASSES, dtype=np.float64, seed=0):
    return (3 * np.random.default_rng(seed).standard_normal((rows, classes))).astype(dtype)


def labels(rows=ROWS, classes=CLASSES, ignored=False, seed=1):
    y = np.random.default_rng(seed).integers(0, classes, rows)
    y[:: 3 if ignored else rows + 1] = -100
    return np.where(y == -100, -100 if ignored else 0, y)


def probabilities(rows=ROWS, classes=CLASSES, seed=2):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), rows)


WEIGHT = np.linspace(0.25, 2, CLASSES)
Y, IGNORED, Q = labels(), labels(ignored=True), probabilities()

CASES = {
    "softmax": lambda x: tg.softmax(x, axis=1),
    "log_softmax": lambda x: tg.log_softmax(x, axis=1),
    "logsumexp": lambda x: tg.logsumexp(x, axis=1),
    "logsumexp kept": lambda x: tg.logsumexp(x, axis=-1, keepdims=True),
    "mse": lambda x: F.mse_loss(x, Q),
    "mse none": lambda x: F.mse_loss(x, Q, reduction="none"),
    "mse integers": lambda x: F.mse_loss(x, np.arange(ROWS * CLASSES).reshape(ROWS, CLASSES), reduction="sum"),
    "binary": lambda x: F.binary_cross_entropy_with_logits(x, Q),
    "binary none": lambda x: F.binary_cross_entropy_with_logits(x, Q, weight=WEIGHT, reduction="none"),
    "binary weights": lambda x: F.binary_cross_entropy_with_logits(x, Q, weight=Q, pos_weight=3.0, reduction="sum"),
    "binary booleans": lambda x: F.binary_cross_entropy_with_logits(x, Q > 0.5, pos_weight=WEIGHT),
    "nll": lambda x: F.nll_loss(x, Y),
    "nll ignored": lambda x: F.nll_loss(x, IGNORED, weight=WEIGHT),
    "nll none": lambda x: F.nll_loss(x, IGNORED, reduction="none"),
}
TARGETS = {"labels": Y, "ignored": IGNORED, "probabilities": Q}
for target, reduction, smoothing, weight in itertools.product(TARGETS, ("mean", "none"), (0.0, 0.1), (None, WEIGHT)):
    options = {"reduction": reduction, "label_smoothing": smoothing, "weight": weight}
    name = f"{target} {reduction}{' smoothed' * bool(smoothing)}{' weights' * (weight is not None)}"
    CASES[name] = functools.partial(F.cross_entropy, target=TARGETS[target], **options)
CASES["labels, one of them ignored"] = lambda x: F.cross_entropy(x, Y, ignore_index=2)
every_case = pytest.mark.parametrize("f", CASES.values(), ids=CASES)


@pytest.fixture
def in_blocks(monkeypatch):
    """How many blocks were worked on."""
    calls = []
    run_blocks = threads.run_blocks

    def counting(kernel, count, block):
        calls.append(-(-count // block))
        run_blocks(kernel, count, block)

    monkeypatch.setattr(threads, "run_blocks", counting)
    return calls


@every_case
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_blocks_give_what_the_whole_array_gives(f, dtype, whole):
    x = logits(dtype=dtype)
    with np.errstate(over="ignore", under="ignore"):
        assert_same(value_and_gradient(f, x), whole(value_and_gradient, f, x))


@every_case
def test_work_is_done_in_blocks(f, in_blocks, request):
    value_and_gradient(f, logits())
    assert ("nll" in request.node.name) == (in_blocks == [])
    assert all(count > 1 for count in in_blocks)


@every_case
def test_results_are_the_same_bits_with_any_number_of_threads_and_in_every_run(f):
    x = logits(dtype=np.float32)
    tg.set_num_threads(1)
    expected = value_and_gradient(f, x)
    for n in (1, 2, 2, 5, 5):
        tg.set_num_threads(n)
        for got, want in zip(value_and_gradient(f, x), expected, strict=True):
            np.testing.assert_array_equal(got, want)


@every_case
def test_a_second_backward_doubles(f):
    x = Tensor(logits(), requires_grad=True)
    out = f(x)
    out.backward(np.ones(out.shape))
    once = x.grad.copy()
    out.backward(np.ones(out.shape))
    np.testing.assert_allclose(x.grad, 2 * once, rtol=1e-14, atol=1e-16)


@every_case
def test_gradients_of_gradients_do_not_use_what_was_kept(f, whole):
    def second(x):
        leaf = Tensor(x, requires_grad=True)
        out = f(leaf)
        slope = tg.gradients((out * out).sum(), leaf, create_graph=True)
        return [tg.gradients((slope * slope).sum(), leaf).data]

    assert_same(second(logits()), whole(second, logits()), rtol=1e-12)


@every_case
def test_nothing_given_is_changed_and_gradients_are_nobody_elses(f):
    x = logits()
    before = x.copy()
    leaf = Tensor(x, requires_grad=True)
    out = f(leaf)
    kept = out.data.copy()
    cotangent = np.ones(out.shape)
    out.backward(cotangent)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(out.data, kept)
    np.testing.assert_array_equal(cotangent, 1)
    for other in (x, out.data, cotangent):
        assert not np.may_share_memory(leaf.grad, other)


CALLS = [(op, number) for op in FAMILY for number in range(len(op.samples))]


@pytest.mark.parametrize(("op", "number"), CALLS, ids=[f"{op.name}-{number}" for op, number in CALLS])
def test_samples_of_every_operation(op, number, monkeypatch, whole):
    monkeypatch.setattr(threads, "LARGE", 4)
    monkeypatch.setattr(threads, "BLOCK", 4)
    call = Call(op, number)
    assert_same(value_and_gradient(call, *call.arrays), whole(value_and_gradient, call, *call.arrays))


# Sizes, axes and layouts.


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33])
def test_rows_around_the_end_of_a_block(rows, whole):
    x, y = logits(rows, 9, np.float32), labels(rows, 9)
    for f in (tg.softmax, tg.log_softmax, lambda x: tg.logsumexp(x, axis=1), lambda x: F.cross_entropy(x, y)):
        assert_same(value_and_gradient(f, x), whole(value_and_gradient, f, x))


@pytest.mark.parametrize("shape", [(300, 2), (300, 128), (300, 129), (20, 500), (3, 9000), (2, 100_000), (400, 1)])
def test_rows_of_any_length_in_blocks_of_the_usual_size(shape, monkeypatch, whole):
    monkeypatch.setattr(threads, "BLOCK", 1 << 12)
    x, y = logits(*shape, np.float32), labels(*shape)
    for f in (tg.softmax, tg.log_softmax, lambda x: tg.logsumexp(x, axis=1), lambda x: F.cross_entropy(x, y)):
        assert_same(value_and_gradient(f, x), whole(value_and_gradient, f, x), rtol=2e-5)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -3, -4])
@pytest.mark.parametrize("op", [tg.softmax, tg.log_softmax, tg.logsumexp], ids=lambda op: op.name)
def test_any_axis_of_an_array_of_four(op, axis, whole):
    x = np.random.default_rng(0).standard_normal((3, 4, 5, 6))
    assert_same(value_and_gradient(lambda x: op(x, axis=axis), x), whole(value_and_gradient, lambda x: op(x, axis), x))


@pytest.mark.parametrize("axis", [None, (0, 1), (1, 2), (-1,), ()])
def test_logsumexp_over_several_axes(axis, whole):
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    for keepdims in (False, True):

        def f(x, keepdims=keepdims):
            return tg.logsumexp(x, axis=axis, keepdims=keepdims)

        assert_same(value_and_gradient(f, x), whole(value_and_gradient, f, x))


def test_an_axis_that_does_not_exist_is_refused():
    for op in (tg.softmax, tg.log_softmax, tg.logsumexp):
        for axis in (2, -3):
            with pytest.raises(tg.errors.TinygradError, match=op.name):
                op(logits(), axis=axis)


def test_a_single_row_and_a_vector_are_no_blocks(in_blocks, whole):
    for x in (logits(1, 50), logits(1, 50)[0]):
        y = np.zeros(x.shape[:-1], int)
        for f in (tg.softmax, tg.log_softmax, tg.logsumexp, lambda x, y=y: F.cross_entropy(x, y)):
            assert_same(value_and_gradient(f, x), whole(value_and_gradient, f, x))
    assert in_blocks == []


def test_elements_of_a_vector_are_rows_of_elementwise_losses(in_blocks, whole):
    x, t = logits(1, 50)[0], probabilities(1, 50)[0]
    for loss in (F.mse_loss, F.binary_cross_entropy_with_logits):
        for reduction in ("mean", "sum", "none"):

            def f(x, t, loss=loss, reduction=reduction):
                return loss(x, t, reduction=reduction)

            assert_same(value_and_gradient(f, x, t), whole(value_and_gradient, f, x, t))
    assert in_blocks != []


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_with_more_axes(smoothing, whole):
    rng = np.random.default_rng(0)
    x, y, q = rng.standard_normal((3, 4, 5, 2)), rng.integers(0, 4, (3, 5, 2)), rng.uniform(0, 1, (3, 4, 5, 2))
    y[1, 2, 0] = -100
    for target, reduction in itertools.product((y, q), ("mean", "sum", "none")):

        def f(x, target=target, reduction=reduction):
            options = {"weight": WEIGHT[:4], "label_smoothing": smoothing, "reduction": reduction}
            return F.cross_entropy(x, target, **options)

        assert_same(value_and_gradient(f, x), whole(value_and_gradient, f, x))
    for reduction in ("mean", "none"):
        got = value_and_gradient(lambda x, r=reduction: F.nll_loss(x, y, WEIGHT[:4], reduction=r), x)
        assert_same(got, whole(value_and_gradient, lambda x, r=reduction: F.nll_loss(x, y, WEIGHT[:4], reduction=r), x))


@every_case
def test_layout_in_memory_makes_no_difference(f, whole):
    x = logits()
    expected = whole(value_and_gradient, f, x)
    gaps = np.zeros((2 * ROWS, 2 * CLASSES))
    gaps[::2, ::2] = x
    for same in (np.asfortranarray(x), gaps[::2, ::2], np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]):
        assert_same([np.asarray(f(same))], expected[:1])
        assert_same(value_and_gradient(f, same), expected)


def test_broadcast_and_read_only_arrays():
    row = np.broadcast_to(logits(1), (ROWS, CLASSES))
    out = tg.softmax(row)
    np.testing.assert_allclose(out, np.broadcast_to(tg.softmax(row[:1].copy()), row.shape), rtol=1e-15)
    assert out.flags.writeable
    x = Tensor(logits(), requires_grad=True)
    tg.softmax(x).sum().backward()  # whose cotangent is broadcast
    np.testing.assert_allclose(x.grad, 0, atol=1e-15)


def test_whole_numbers_become_floating():
    x = np.arange(ROWS * CLASSES).reshape(ROWS, CLASSES) % 5
    for op in (tg.softmax, tg.log_softmax, lambda x: tg.logsumexp(x, 1), lambda x: F.cross_entropy(x, Y, WEIGHT)):
        np.testing.assert_array_equal(op(x), op(x.astype(float)))
        assert op(x).dtype == np.float64


# Where it is hard.


def hard_rows(dtype=np.float64):
    """Rows of which every block has others: masked, infinite, NaN, huge, and usual ones."""
    x = logits(dtype=dtype)
    x[1, 2], x[3] = -INF, -INF
    x[5, :2], x[8, 0] = INF, NAN
    x[11], x[12, :3] = 1e4, -1e4
    x[17], x[20, 0] = -INF, INF
    x[ROWS - 1] = -INF
    return x


@every_case
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_infinities_masks_and_nan_are_where_they_are_without_blocks(f, dtype, whole):
    with np.errstate(all="ignore"):
        got, expected = value_and_gradient(f, hard_rows(dtype)), whole(value_and_gradient, f, hard_rows(dtype))
    assert_same(got, expected, rtol=1e-2 if dtype == np.float16 else None)


@pytest.mark.parametrize("op", [tg.softmax, tg.log_softmax], ids=lambda op: op.name)
def test_a_fully_masked_row_has_no_gradient_and_leaves_the_others_alone(op):
    x = logits()
    x[[4, 13, 22]] = -INF
    value, slope = value_and_gradient(op, x)
    assert (value[4] == (0 if op is tg.softmax else -INF)).all()
    assert not slope[[4, 13, 22]].any()
    others = np.delete(np.arange(ROWS), [4, 13, 22])
    expected = np.exp(x[others]) / np.exp(x[others]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(value[others], expected if op is tg.softmax else np.log(expected), rtol=1e-12)
    assert slope[others].any(axis=1).all()


def test_masks_and_infinities_draw_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = hard_rows()
        for op in (tg.softmax, tg.log_softmax, lambda x: tg.logsumexp(x, axis=1)):
            op(x)
        for options in ({}, {"label_smoothing": 0.1}, {"weight": WEIGHT}):
            for target in (Y, IGNORED, Q):
                F.cross_entropy(x, target, reduction="none", **options)


def test_what_does_not_count_may_be_infinite():
    x = logits()
    x[IGNORED == -100, 0] = -INF
    x[:, CLASSES - 1] = -INF
    y = np.where(IGNORED == CLASSES - 1, 1, IGNORED)
    losses, slope = value_and_gradient(lambda x: F.cross_entropy(x, y, reduction="none"), x)
    assert np.isfinite(losses).all()
    assert np.isfinite(slope).all()
    assert not losses[y == -100].any()
    assert not slope[y == -100].any()
    assert F.nll_loss(np.where(np.isinf(x), -INF, x), y) == F.nll_loss(np.where(np.isinf(x), 0, x), y)


def test_every_target_ignored():
    nothing = np.full(ROWS, -100)
    for loss, reduction in itertools.product((F.cross_entropy, F.nll_loss), ("mean", "sum", "none")):
        value, slope = value_and_gradient(lambda x, f=loss, r=reduction: f(x, nothing, reduction=r), logits())
        assert not value.any()
        assert not slope.any()


# The caller's side.


def test_labels_are_refused_as_in_small_arrays():
    bad = Y.copy()
    bad[20] = CLASSES
    for loss in (F.cross_entropy, F.nll_loss):
        for options in ({}, {"weight": WEIGHT}, {"ignore_index": 0}):
            with pytest.raises(TargetError, match=f"class {CLASSES} at position 20") as caught:
                loss(Tensor(logits(), requires_grad=True), bad, **options)
            assert caught.value.location.filename == __file__
        with pytest.raises(TargetError, match=r"target \(23, 1\)"):
            loss(logits(), Y[:, None])
        with pytest.raises(ShapeError, match="weight"):
            loss(logits(), Y, weight=WEIGHT[:3])
        with pytest.raises(tg.errors.ArgumentError, match="reduction"):
            loss(logits(), Y, reduction="average")
    with pytest.raises(tg.errors.ArgumentError, match="label_smoothing"):
        F.cross_entropy(logits(), Y, label_smoothing=2)
    for loss in (F.mse_loss, F.binary_cross_entropy_with_logits):
        with pytest.raises(ShapeError):
            loss(logits(), Q[:, :1])
        with pytest.raises(tg.errors.ArgumentError, match="reduction"):
            loss(logits(), Q, reduction="average")


@pytest.mark.parametrize("n", [1, 3])
def test_floating_point_errors_are_raised_where_the_caller_asks_for_it(n):
    tg.set_num_threads(n)
    x = logits()
    x[13, 0] = 1e4  # next to which e**x underflows
    for op in (tg.softmax, tg.log_softmax, lambda x: tg.logsumexp(x, axis=1), lambda x: F.cross_entropy(x, Y)):
        with (
            np.errstate(under="raise"),
            pytest.raises((FloatingPointError, tg.errors.TinygradError), match="underflow"),
        ):
            op(x)
        op(x)


def test_several_threads_of_the_users_at_once():
    x = [logits(seed=i) for i in range(8)]

    def work(i):
        return value_and_gradient(lambda x: F.cross_entropy(tg.log_softmax(x), Y), x[i])

    expected = [work(i) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for got, want in zip(pool.map(work, [*range(8)] * 5, timeout=60), expected * 5, strict=True):
            for one, other in zip(got, want, strict=True):
                np.testing.assert_array_equal(one, other)


def test_residuals_are_given_up_after_backward_and_nothing_hangs_on():
    gc.collect()
    gc.disable()
    try:
        for f in CASES.values():
            x = Tensor(logits(), requires_grad=True)
            out = f(x)
            node = out.tape()[-1]
            assert node.residual is not None
            out.backward(np.ones(out.shape))
            assert node.residual is None
            del node, out, x
        assert not any(isinstance(each, Tensor) and each.shape == (ROWS, CLASSES) for each in gc.get_objects())
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "name", ["labels mean", "ignored mean smoothed weights", "softmax", "log_softmax", "logsumexp", "mse", "binary"]
)
def test_compiled_functions_work_in_blocks_too(name, in_blocks):
    x = logits(dtype=np.float32)
    f = CASES[name]
    both = tg.compile(tg.value_and_grad(lambda x: (f(x) * 0.5).sum()))
    expected = tg.value_and_grad(lambda x: (f(x) * 0.5).sum())(x)
    both(x)
    in_blocks.clear()
    for got, want in zip(both(x), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert in_blocks != []


def test_derived_scripts_of_large_arrays_are_plain_numpy():
    x = Tensor(logits(), requires_grad=True, name="x")
    loss = F.cross_entropy(x, Y) + tg.softmax(x).max() + tg.logsumexp(x, axis=1).sum() + tg.log_softmax(x).min()
    derived = tg.debug.source(loss, "inline")
    assert "in_blocks" not in str(derived)
    assert "tinygrad_sm" not in "\n".join(line for line in str(derived).splitlines() if "import" in line)
    loss.backward()
    np.testing.assert_allclose(derived.run()["x"], x.grad, rtol=1e-13, atol=1e-15)
    calls = tg.debug.source(loss, "calls")
    np.testing.assert_array_equal(calls.run()["x"], x.grad)


def test_large_arrays_as_they_come(monkeypatch):
    monkeypatch.undo()
    x, y = logits(700, 1000, np.float32), labels(700, 1000)
    exact = x.astype(float)
    p = np.exp(exact - exact.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    slope = p.copy()
    slope[np.arange(700), y] -= 1
    value, got = value_and_gradient(lambda x: F.cross_entropy(x, y, reduction="sum"), x)
    np.testing.assert_allclose(value, -np.log(p[np.arange(700), y]).sum(), rtol=1e-6)
    cotangent = np.random.default_rng(0).uniform(-1, 1)
    np.testing.assert_allclose(got, np.float32(cotangent) * slope, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(tg.softmax(x), p, rtol=1e-5)
