"""Making tensors, and making numbers, text, lists, copies and files of them."""

import collections
import copy
import math
import pickle

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.errors import DTypeError, GradientError, ShapeError
from tinygrad_sm.operand import ELSEWHERE


def leaf(*values):
    return Tensor(list(values), dtype=float, requires_grad=True)


SCALARS = [Tensor(2.5), Tensor(2.5, requires_grad=True), Tensor([2.5]), Tensor([[2.5]], requires_grad=True) * 1]


@pytest.mark.parametrize("t", SCALARS)
def test_numbers_of_tensors_with_one_element(t):
    assert t.item() == float(t) == 2.5
    assert type(t.item()) is float
    assert int(t) == 2
    assert math.floor(float(t)) == 2
    assert f"{t:.3f}" == "2.500"
    assert f"{t:>8.1f}|" == "     2.5|"
    assert format(t, "e") == "2.500000e+00"
    assert f"{t}" == str(t) == repr(t)
    assert bool(t)


def test_numbers_of_integers_and_booleans():
    assert type(Tensor(3).item()) is int
    assert type(Tensor(True).item()) is bool
    assert int(Tensor(3)) == 3
    assert f"{Tensor(3):d}" == "3"
    assert not Tensor(False)
    assert not Tensor(0.0, requires_grad=True)
    assert [10, 20, 30][Tensor(1)] == 20
    assert list(range(Tensor(2))) == [0, 1]


def test_floating_tensors_do_not_index_lists():
    with pytest.raises(TypeError):
        [1, 2][Tensor(1.0)]


@pytest.mark.parametrize("convert", [float, int, lambda t: t.item(), lambda t: f"{t:.2f}"])
@pytest.mark.parametrize("t", [leaf(1, 2), Tensor(np.ones((0,)))])
def test_number_of_several_elements_is_refused(convert, t):
    with pytest.raises(ShapeError, match=rf"item\(\) needs one element, and this tensor has shape \({t.size},\)"):
        convert(t)


def test_truth_of_several_elements_is_refused_as_in_numpy():
    with pytest.raises(ValueError, match="ambiguous"):
        bool(leaf(1, 2))
    with pytest.raises(ValueError, match="ambiguous"):
        _ = "yes" if leaf(1, 2) > 0 else "no"


def test_length_and_iteration():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(x) == 2
    first, second = x
    assert second.data.tolist() == [3, 4]
    (first * second).sum().backward()
    assert x.grad.tolist() == [[3, 4], [1, 2]]
    assert [float(v) for v in leaf(1, 2)] == [1, 2]
    assert [tuple(map(float, row)) for row in x] == [(1, 2), (3, 4)]
    assert max(leaf(1, 3, 2)).item() == 3
    assert sum(leaf(1, 3, 2)).item() == 6
    assert 3.0 in leaf(1, 3)
    assert next(reversed(leaf(1, 2))).item() == 2
    assert [b.item() for _, b in zip(leaf(1), leaf(2), strict=True)] == [2]


def test_length_and_iteration_of_a_scalar_are_refused():
    with pytest.raises(TypeError):
        len(Tensor(1.0))
    with pytest.raises(TypeError):
        list(Tensor(1.0))
    assert list(Tensor(np.ones((0, 2)))) == []


def test_iteration_reads_the_shape_when_it_begins_and_ends():
    """Without __iter__, Python would try indices until an IndexError."""
    assert isinstance(iter(leaf(1, 2)), collections.abc.Iterator)


def test_hash_is_that_of_the_object():
    x, y = leaf(1), leaf(1)
    assert len({x, y, x}) == 2
    assert {x: "x"}[x] == "x"
    assert hash(x) == hash(x)


def test_equality_is_elementwise():
    assert (leaf(1, 2) == np.array([1, 3])).data.tolist() == [True, False]
    assert not (Tensor(1.0) == None).item()  # noqa: E711


def test_repr_puts_the_shape_first_and_stays_on_one_line():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="w")
    assert repr(x) == "Tensor((2, 2) float64, [[1., 2.], [3., 4.]], requires_grad=True, name='w')"
    assert repr(Tensor([1, 2])) == "Tensor((2,) int64, [1, 2])"
    assert repr(Tensor(0.5, dtype=np.float32)) == "Tensor(() float32, 0.5)"
    long = repr(Tensor(np.zeros((100, 100, 100))))
    assert "\n" not in long
    assert len(long) < 500
    assert repr(Tensor(np.zeros((0, 3)))).startswith("Tensor((0, 3) float64")


def test_repr_records_nothing():
    x = leaf(1, 2)
    y = x * 2
    before = len(y.tape())
    repr(y), str(y), f"{y}"
    assert len(y.tape()) == before


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        (1, None, np.int64),
        (1.0, None, np.float64),
        (True, None, np.bool_),
        ([1, 2.5], None, np.float64),
        (np.float32(1), None, np.float32),
        (np.ones(2, np.float16), None, np.float16),
        ([1, 2], np.float32, np.float32),
        (range(3), float, np.float64),
        ([[1, 2], [3, 4]], None, np.int64),
        ([], None, np.float64),
        ((1.0, 2.0), None, np.float64),
        (Tensor([1.0]), np.float32, np.float32),
        ([Tensor(1.0), Tensor(2.0)], None, np.float64),
        (np.uint8(3), None, np.uint8),
    ],
)
def test_tensors_of_anything_that_numpy_takes(data, dtype, expected):
    t = Tensor(data, dtype=dtype)
    assert t.dtype == expected
    assert type(t.data) is np.ndarray


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("text", DTypeError),
        (["a", "b"], DTypeError),
        (1j, DTypeError),
        (None, DTypeError),
        (object(), DTypeError),
        (np.array(["2020-01-01"], dtype="datetime64"), DTypeError),
        ([[1.0], [2.0, 3.0]], ShapeError),
        ({1, 2}, DTypeError),
    ],
)
def test_tensor_of_what_is_no_real_number_is_refused(data, kind):
    with pytest.raises(kind, match="Tensor") as caught:
        Tensor(data)
    assert caught.value.location.expression == "Tensor(data)"


def test_tensor_of_a_tensor_does_not_lose_its_gradient_in_silence():
    with pytest.raises(GradientError, match="would lose the gradient"):
        Tensor(leaf(1) * 2)
    with pytest.raises(GradientError):
        Tensor([leaf(1), leaf(2)])
    assert Tensor(Tensor([1.0])).data.tolist() == [1]


def test_only_keywords_after_the_data():
    with pytest.raises(TypeError):
        Tensor([1.0], True)


def test_unknown_attributes_cannot_be_set():
    with pytest.raises(AttributeError):
        leaf(1).gard = None


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_are_leaves_of_their_own(copier):
    x = Tensor([1.0, 2.0], requires_grad=True, name="w", dtype=np.float32)
    (x * x).sum().backward()
    twin = copier(x)
    assert type(twin) is Tensor
    assert twin.data.tolist() == [1, 2]
    assert (twin.dtype, twin.name, twin.requires_grad, twin.is_leaf) == (np.float32, "w", True, True)
    assert twin.grad.tolist() == [2, 4]
    twin.grad[...] = 0
    with tg.no_grad():
        twin += 5
    assert x.data.tolist() == [1, 2]
    assert x.grad.tolist() == [2, 4]
    twin.grad = None
    twin.sum().backward()
    assert twin.grad.tolist() == [1, 1]


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_of_results_hold_the_values_and_not_the_tape(copier):
    x = leaf(1, 2)
    twin = copier(x * 2)
    assert twin.data.tolist() == [2, 4]
    assert not twin.requires_grad
    assert len(twin.tape()) == 0


def test_copies_in_containers_keep_identities():
    x = leaf(1)
    first, second = copy.deepcopy([x, x])
    assert first is second
    assert first is not x
    model = {"w": x, "b": Tensor([1, 2])}
    assert pickle.loads(pickle.dumps(model))["b"].dtype == np.int64


def test_operations_are_copied_and_pickled_by_reference():
    for op in (tg.exp, tg.cross_entropy):
        assert pickle.loads(pickle.dumps(op)) is op
        assert copy.deepcopy(op) is op
        assert copy.copy(op) is op


def test_names_from_elsewhere_are_no_attributes_but_say_what_to_write():
    x = leaf(1)
    for name, ours in ELSEWHERE.items():
        with pytest.raises(AttributeError, match=rf"'Tensor' object has no attribute '{name}'; write ") as caught:
            getattr(x, name)
        assert str(caught.value).endswith(ours)
        assert not hasattr(x, name)
        assert not hasattr(Tensor, name)
        assert name not in dir(x)
    assert not hasattr(Tensor, "__getattr__")  # it would take away the interpreter's short way to all other attributes
