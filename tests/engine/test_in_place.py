"""Writing into tensors: what is allowed, what is refused, and values that changed between forward and backward."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor
from tinygrad_sm.errors import InPlaceError, ShapeError, StaleValueError, TinygradError


def leaf(*values):
    return Tensor(list(values), dtype=float, requires_grad=True)


AUGMENTED = {
    "+=": (lambda a, b: a.__iadd__(b), lambda a, b: a + b),
    "-=": (lambda a, b: a.__isub__(b), lambda a, b: a - b),
    "*=": (lambda a, b: a.__imul__(b), lambda a, b: a * b),
    "/=": (lambda a, b: a.__itruediv__(b), lambda a, b: a / b),
    "**=": (lambda a, b: a.__ipow__(b), lambda a, b: a**b),
}


@pytest.mark.parametrize("name", AUGMENTED)
@pytest.mark.parametrize("other", [2.0, np.array([2.0, 3.0]), Tensor([2.0, 3.0])])
def test_leaf_is_updated_in_place_without_recording(name, other):
    w = leaf(4, 9)
    before, array = w, w.data
    with tg.no_grad():
        w = AUGMENTED[name][0](w, other)
    assert w is before
    assert w.data is array
    np.testing.assert_array_equal(array, AUGMENTED[name][1](np.array([4.0, 9.0]), np.asarray(other)))
    assert w.requires_grad
    assert w.is_leaf


def test_the_update_of_every_tutorial():
    w = leaf(1, 2)
    for _ in range(3):
        w.grad = None
        (w * w).sum().backward()
        with tg.no_grad():
            w -= 0.25 * w.grad
    np.testing.assert_allclose(w.data, [1 / 8, 2 / 8])


def test_update_with_its_own_gradient_tensor_and_other_leaves():
    w, v = leaf(1, 2), leaf(10, 20)
    with tg.no_grad():
        w += v
        w -= w * 0.5
    assert w.data.tolist() == [5.5, 11]


@pytest.mark.parametrize("name", AUGMENTED)
def test_update_of_a_leaf_while_recording_is_refused_with_advice(name):
    w = leaf(1, 2)
    with pytest.raises(InPlaceError, match=r"in-place update of a tensor \(2,\) float64 that carries") as caught:
        AUGMENTED[name][0](w, 2.0)
    assert "no_grad" in caught.value.remedy
    assert w.data.tolist() == [1, 2]


@pytest.mark.parametrize("name", AUGMENTED)
def test_augmented_assignment_to_a_result_makes_a_new_tensor(name):
    x = leaf(4, 9)
    y = old = x * 1
    y = AUGMENTED[name][0](y, 2.0)
    assert y is not old
    np.testing.assert_array_equal(y.data, AUGMENTED[name][1](np.array([4.0, 9.0]), 2.0))
    assert old.data.tolist() == [4, 9]
    (y + old).sum().backward()
    assert x.grad is not None


def test_sums_in_loops_are_recorded():
    x = leaf(1, 2, 3)
    total = 0
    for i in range(3):
        total += x[i] * i
    total.backward()
    assert x.grad.tolist() == [0, 1, 2]


def test_constant_is_updated_in_place_while_nothing_with_a_gradient_joins_it():
    c = Tensor([1.0, 2.0])
    before = c
    c += 1
    c *= np.array([2.0, 3.0])
    assert c is before
    assert c.data.tolist() == [4, 9]


def test_constant_that_is_joined_by_a_gradient_becomes_a_new_tensor():
    c, x = Tensor([1.0, 2.0]), leaf(1, 1)
    before = c
    c += x
    assert c is not before
    assert before.data.tolist() == [1, 2]
    c.sum().backward()
    assert x.grad.tolist() == [1, 1]
    with tg.no_grad():
        before += x
    assert before.data.tolist() == [2, 3]


def test_update_that_would_change_the_shape_or_lose_the_type_is_refused():
    with tg.no_grad():
        w = leaf(1, 2)
        with pytest.raises(TinygradError, match="in-place update"):
            w += np.ones((3, 2))
        with pytest.raises(TinygradError, match="broadcast"):
            w += np.ones(3)
        counts = Tensor([1, 2])
        with pytest.raises(TinygradError, match="in-place update"):
            counts += 0.5
    assert w.data.tolist() == [1, 2]
    assert counts.data.tolist() == [1, 2]


def test_update_keeps_float32():
    w = Tensor(np.ones(2), dtype=np.float32, requires_grad=True)
    with tg.no_grad():
        w -= np.float64(0.1) * np.ones(2)
    assert w.dtype == np.float32


# Items ------------------------------------------------------------------------------------------------------------


def test_item_assignment_on_a_recorded_tensor_is_refused_with_advice():
    y = leaf(1, 2) * 2
    with pytest.raises(InPlaceError, match=r"in-place update of a tensor \(2,\)") as caught:
        y[0] = 5.0
    assert "tg.where" in caught.value.remedy
    assert caught.value.location.expression.startswith("y[0]")
    with pytest.raises(InPlaceError), tg.no_grad():
        y[0] = 5.0


def test_item_assignment_on_a_leaf_needs_no_grad():
    w = leaf(1, 2, 3)
    with pytest.raises(InPlaceError):
        w[0] = 5.0
    with tg.no_grad():
        w[0] = 5.0
        w[Tensor([1, 2])] = Tensor([7.0, 8.0])
    assert w.data.tolist() == [5, 7, 8]


def test_item_assignment_on_a_constant():
    c = Tensor([1.0, 2.0, 3.0])
    c[1:] = [5.0, 6.0]
    c[np.array([True, False, False])] = 0
    assert c.data.tolist() == [0, 5, 6]
    with pytest.raises(InPlaceError, match="assigned value carries a gradient") as caught:
        c[0] = leaf(1)[0]
    assert "t.data" in caught.value.remedy
    with pytest.raises(TinygradError, match="gradient"):
        c[:2] = [leaf(1)[0], 2.0]
    with tg.no_grad():
        c[0] = leaf(9)[0]
    assert c.data.tolist() == [9, 5, 6]


@pytest.mark.parametrize(("index", "value"), [(5, 1.0), (slice(2), [1.0, 2.0, 3.0]), ("a", 1.0), ((0, 0), 1.0)])
def test_item_assignment_that_does_not_fit_is_an_error_of_ours(index, value):
    c = Tensor([1.0, 2.0, 3.0])
    with pytest.raises(TinygradError, match="in-place update"):
        c[index] = value
    assert c.data.tolist() == [1, 2, 3]


def test_assigned_text_is_refused():
    with pytest.raises(TinygradError):
        Tensor([1.0])[0] = "one"


# Values that changed ----------------------------------------------------------------------------------------------


def update(w):
    """As an optimiser does it."""
    with tg.no_grad():
        w -= 0.5


def assign(w):
    w.data = w.data - 0.5


def write_an_item(w):
    with tg.no_grad():
        w[0] = -9.0


def write_through_a_view(w):
    with tg.no_grad():
        view = w.detach()[..., :1]
        view -= 0.5


CHANGES = [update, assign, write_an_item, write_through_a_view]
NEEDING = {
    "square": lambda w, x: w * w,
    "product": lambda w, x: w * x,
    "quotient": lambda w, x: x / w,
    "power": lambda w, x: w**3,
    "log": lambda w, x: tg.log(w),
    "sine": lambda w, x: tg.sin(w),
    "matmul": lambda w, x: x @ w,
    "relu": lambda w, x: tg.relu(w),
    "max": lambda w, x: tg.max(w) + 0 * x,
    "softplus": lambda w, x: tg.softplus(w),
    "a view of it": lambda w, x: w.reshape(2, 1) * x,
    "a row of it": lambda w, x: w[:1] * x,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", NEEDING)
def test_backward_over_a_value_that_was_changed_is_refused(change, name):
    w, x = leaf(1, 2), leaf(3, 4)
    loss = NEEDING[name](w, x).sum()
    change(w)
    with pytest.raises(StaleValueError, match="overwritten after") as caught:
        loss.backward()
    assert caught.value.location.source_line.strip().startswith(f'"{name}"')
    assert "before the update" in caught.value.remedy
    assert x.grad is None
    assert w.grad is None


def test_error_about_a_changed_value_names_the_op_the_argument_and_the_shape():
    w, x = leaf(1, 2), leaf(3, 4)
    loss = (w * x).sum()
    update(w)
    with pytest.raises(StaleValueError) as caught:
        loss.backward()
    for part in ("multiply: ", "x (2,)", "gradient for y"):
        assert part in caught.value.message
    assert caught.value.location.expression == "w * x"


HARMLESS = {
    "sum": lambda w, x: w + x,
    "difference": lambda w, x: x - w,
    "negative": lambda w, x: -w * 1.0,
    "reshape": lambda w, x: w.reshape(2, 1) + 0,
    "mean": lambda w, x: tg.mean(w),
    "index": lambda w, x: w[0] + x,
    "transpose": lambda w, x: w.T + x,
    "exp, which keeps its own result": lambda w, x: tg.exp(w),
    "sigmoid": lambda w, x: tg.sigmoid(w),
    "softmax": lambda w, x: tg.softmax(w),
    "sqrt": lambda w, x: tg.sqrt(w),
    "scaled": lambda w, x: w * 3.0,
    "join": lambda w, x: np.stack([w, x]),
    "where": lambda w, x: tg.where(np.array([True, False]), w, x),
    "expand_dims": lambda w, x: np.expand_dims(w, 0),
    "broadcast_to": lambda w, x: np.broadcast_to(w, (3, 2)),
    "cast": lambda w, x: w.astype(np.float32),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", HARMLESS)
def test_backward_over_a_changed_value_that_no_rule_reads_is_allowed(change, name):
    w, x = leaf(1, 2), leaf(3, 4)
    HARMLESS[name](w, x).sum().backward()
    expected, w.grad = w.grad, None
    with tg.no_grad():
        w[...] = [1.0, 2.0]
    loss = HARMLESS[name](w, x).sum()
    change(w)
    loss.backward()
    np.testing.assert_array_equal(w.grad, expected)


@pytest.mark.parametrize("change", CHANGES)
def test_gradient_of_the_operand_that_is_not_multiplied_with_the_changed_one(change):
    """The gradient of w * x for x needs w; where only w learns, a change of w does no harm."""
    w, x = leaf(1, 2), Tensor([3.0, 4.0])
    loss = (w * x).sum()
    change(w)
    loss.backward()
    assert w.grad.tolist() == [3, 4]


def test_changed_constant_is_noticed_too():
    w, x = leaf(1, 2), Tensor([3.0, 4.0])
    loss = (w * x).sum()
    x += 1
    with pytest.raises(StaleValueError, match=r"multiply: .*\by \(2,\)"):
        loss.backward()


def test_changed_result_that_a_rule_reads_is_noticed():
    w = leaf(1, 2)
    y = tg.exp(w)
    loss = y.sum()
    constant = y.detach()  # shares the values
    constant *= 2
    with pytest.raises(StaleValueError, match=r"exp: .*\bout \(2,\)"):
        loss.backward()


def test_linear_layer_updated_before_backward_is_refused_only_where_the_weight_is_needed():
    x, w, b = leaf(1, 2), Tensor(np.ones((2, 3)), requires_grad=True), leaf(1, 2, 3)
    loss = F.linear(x, w, b).sum()
    update(b)
    loss.backward()
    assert w.grad is not None
    update(w)
    with pytest.raises(StaleValueError, match=r"linear: .*\bweight \(2, 3\)"):
        loss.backward()
    constant = F.linear(x.data, w, b).sum()
    update(w)
    constant.backward()


def test_second_backward_after_an_update_is_refused():
    w = leaf(1, 2)
    loss = (w * w).sum()
    loss.backward()
    update(w)
    with pytest.raises(StaleValueError):
        loss.backward()
    assert w.grad.tolist() == [2, 4]


def test_forward_again_after_an_update_is_right():
    w = leaf(1, 2)
    (w * w).sum().backward()
    update(w)
    w.grad = None
    (w * w).sum().backward()
    assert w.grad.tolist() == [1, 3]


def test_update_of_an_unrelated_tensor_does_no_harm():
    w, other = leaf(1, 2), leaf(5)
    loss = (w * w).sum()
    for change in (update, assign, write_an_item):
        change(other)
    loss.backward()
    assert w.grad.tolist() == [2, 4]


def test_gradients_refuses_changed_values_too():
    w = leaf(1, 2)
    loss = (w * w).sum()
    update(w)
    for create_graph in (False, True):
        with pytest.raises(StaleValueError):
            tg.gradients(loss, w, create_graph)


def test_failed_update_does_not_count_as_a_change():
    w = leaf(1, 2)
    y = w * w
    loss = tg.exp(y).sum()
    with pytest.raises(InPlaceError):
        y.data = np.ones(2)
    with pytest.raises(TinygradError):
        w.data = "text"
    with pytest.raises(TinygradError):
        w.data = np.array([1, 2])
    with pytest.raises(InPlaceError):
        w[0] = 1.0
    with pytest.raises(ShapeError), tg.no_grad():
        w += np.ones(3)
    loss.backward()
    np.testing.assert_allclose(w.grad, [2 * np.e, 4 * np.exp(4)])


# Assigning data ---------------------------------------------------------------------------------------------------


def test_data_of_a_leaf_may_be_replaced():
    w = leaf(1, 2)
    w.data = np.array([3.0, 4.0])
    (w * w).sum().backward()
    assert w.grad.tolist() == [6, 8]
    assert w.tape()[0].out is w.data
    w.data = Tensor([1.0, 1.0])
    w.data = [5.0, 6.0]
    assert type(w.data) is np.ndarray
    w.data -= 1  # `w.data = w.data - 1` in one: NumPy writes, and the assignment tells
    assert w.data.tolist() == [4, 5]


def test_data_that_a_tensor_cannot_hold_is_refused():
    w, c = leaf(1, 2), Tensor([1, 2])
    with pytest.raises(InPlaceError):
        w.data = np.array([1, 2])
    with pytest.raises(InPlaceError):
        (w * 2).data = np.ones(2)
    for bad in ("text", [1j], object(), [[1.0], [2.0, 3.0]]):
        with pytest.raises(TinygradError):
            w.data = bad
        with pytest.raises(TinygradError):
            c.data = bad
    c.data = np.array([0.5])
    assert c.dtype == np.float64


def test_augmented_assignment_to_data_is_noticed():
    w = leaf(1, 2)
    loss = (w * w).sum()
    w.data -= 0.5
    with pytest.raises(StaleValueError):
        loss.backward()
