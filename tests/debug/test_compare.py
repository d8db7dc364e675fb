"""`compare`: a derivation by hand against the real gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_sm as tg
from tinygrad_sm import Tensor, debug
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 3))


def affine():
    """An affine map with a mean of squares, after backward, and the cotangent of its output by hand."""
    W = Tensor(RNG.normal(size=(3, 4)), requires_grad=True, name="W")
    b = Tensor(RNG.normal(size=4), requires_grad=True, name="b")
    h = X @ W + b
    (h * h).mean().backward(retain_grads=True)
    return W, b, h, 2 * h.data / h.size


def test_a_right_derivation_is_true_and_says_so():
    W, b, h, g = affine()
    for result, head in [
        (debug.compare(X.T @ g, W), "W (3, 4): "),
        (debug.compare(g.sum(axis=0), b), "b (4,): "),
        (debug.compare(g, h), "h (64, 4): "),
    ]:
        assert result
        assert str(result).startswith(head)
        assert len(str(result).splitlines()) == 1


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        (lambda g: -X.T @ g, "the sign is wrong"),
        (lambda g: 256 * X.T @ g, "256 times too large (1/N?)"),
        (lambda g: (X.T @ g).T, "transposed"),
        (lambda g: (X.T @ g) / 2, "half of what it should be"),
        (lambda g: np.zeros((3, 4)), "the contribution never arrives"),
        (lambda g: np.full((3, 4), np.nan), "NaN or infinity"),
        (lambda g: X[:, :, None] * g[:, None, :], "sum over the axes that broadcasting added"),
        (lambda g: (X.T @ g)[None], "the shape is not"),
        (lambda g: (X.T @ g).sum(axis=1), "summed over an axis too many"),
    ],
)
def test_the_cause_of_a_wrong_derivation(wrong, cause):
    W, _, _, g = affine()
    result = debug.compare(wrong(g), W)
    assert not result
    assert cause in result.cause
    assert cause in " ".join(str(result).split())
    assert cause in repr(result)
    assert "WRONG" in str(result)
    assert "\n" not in repr(result)
    assert all(len(line) <= 80 for line in str(result).splitlines())


def test_a_shape_that_broadcasts_is_wrong_all_the_same():
    right = Tensor(np.ones((1, 64)), requires_grad=True)
    right.sum().backward()
    result = debug.compare(np.ones(64), right)
    assert not result
    assert (result.shape_mine, result.shape_right, result.verdict) == ((64,), (1, 64), "WRONG SHAPE")
    assert result.absolute is result.relative is result.ulp is result.worst is None


def test_errors_and_the_worst_element():
    mine, right = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 2.0], [3.5, 4.0]])
    result = debug.compare(mine, right)
    assert (result.absolute, result.relative, result.worst, result.values) == (1.0, 0.2, (1, 1), (5.0, 4.0))
    assert result.wrong == 2
    assert result.ulp == 1.0 / np.spacing(5.0)
    assert "2 of 4 elements are off\n  worst at [1, 1]: yours 5, right 4\n" in str(result)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_next_number_is_close_and_one_ulp_away(dtype):
    right = np.array([3.0, -5.0], dtype)
    result = debug.compare(np.nextafter(right, dtype(np.inf)), right)
    assert (result.close, result.equal, result.ulp) == (True, False, 1.0)
    assert result.verdict == "close"


def test_ulp_are_those_of_the_less_precise_type():
    right = np.array([1 / 3], np.float32)
    result = debug.compare(np.array([1 / 3]), right)
    assert result.close
    assert 0 < result.ulp <= 0.5


def test_rounding_beside_large_elements_is_close_and_a_small_gradient_is_not_zero():
    assert debug.compare([1e6, 1e-7], np.array([1e6, 0.0]))
    assert not debug.compare([0.0, 0.0], np.array([1e-9, 2e-9]))
    assert debug.compare([3e-18, -1e-18], np.array([-2e-18, 1e-18]))


def test_tolerances_may_be_chosen():
    assert not debug.compare(1.001, np.array(1.0))
    assert debug.compare(1.001, np.array(1.0), rtol=1e-2)
    assert debug.compare(1.001, np.array(1.0), atol=1e-2)


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf"), "1e-3", np.ones(2)])
def test_what_is_no_tolerance_is_refused(tolerance):
    for name in ("rtol", "atol"):
        with pytest.raises(ArgumentError, match=f"compare: {name}="):
            debug.compare(1.0, 2.0, **{name: tolerance})


def test_the_report_fits_in_80_columns():
    right = np.arange(6.0).reshape(2, 3)
    for mine in (right, right + 1e-9, right + 1, 1 / (right + 1), right.ravel(), 7.0):
        for line in str(debug.compare(mine, right, name="a_name_that_is_long" * 3)).splitlines():
            assert len(line) <= 80


def test_a_single_number_has_no_place():
    assert str(debug.compare(1.0, 1.0 + 1e-9)).endswith(" ulp")


def test_huge_values_do_not_make_everything_close():
    assert not debug.compare([1e308, -1e308], np.array([1e308, 1e308]))
    assert not debug.compare([1e300, 1.0], np.array([2e300, 1.0]))


def test_infinities_and_nan_in_the_same_place_are_equal():
    right = np.array([np.inf, -np.inf, np.nan, 1.0])
    assert debug.compare(right.copy(), right).equal
    assert debug.compare([np.inf, -np.inf, np.nan, 1 + 1e-12], right)
    result = debug.compare([np.inf, np.inf, 0.0, 1.0], right)
    assert (result.wrong, result.absolute) == (2, np.inf)


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_empty_arrays(shape):
    result = debug.compare(np.ones(shape), np.zeros(shape))
    assert result.equal
    assert result.worst is None
    assert "equal" in str(result)


def test_single_numbers_integers_and_booleans():
    x = Tensor(3.0, requires_grad=True)
    (x * x).backward()
    assert debug.compare(6, x).equal
    assert "yours 5, right 6" in str(debug.compare(5, x))
    assert debug.compare([True, False], np.array([1, 0])).equal
    assert debug.compare([2**62, 1], np.array([2**62 + 1, 1])).equal is False


def test_mine_may_be_a_tensor_with_a_tape():
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    assert debug.compare(2 * x, x)


def test_names_come_from_the_tensor_the_variable_or_the_caller():
    weights = Tensor([1.0, 2.0], requires_grad=True)
    (weights * weights).sum().backward()
    assert debug.compare([2.0, 4.0], weights).name == "weights"
    assert debug.compare([2.0, 4.0], weights, name="dW").name == "dW"
    assert debug.compare(1.0, 1.0).name == "gradient"
    weights.name = "größe"
    assert str(debug.compare([2.0, 4.0], weights)).startswith("größe (2,)")


def test_one_contribution_alone():
    parts = [np.array([1.0, 2.0]), np.array([0.5, 7.0])]
    result = debug.compare(parts[1], sum(parts), contributions=parts)
    assert result.cause == "it is contribution 2 of 2 alone: the others have to be added"
    assert debug.compare(sum(parts), sum(parts), contributions=parts).cause == ""


def test_nothing_is_printed(capsys):
    debug.compare(1.0, 2.0)
    assert capsys.readouterr() == ("", "")


def test_a_missing_gradient_says_what_to_call():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    y = x * x
    with pytest.raises(GradientError, match=r"x \(2,\) float64 has none yet(.|\n)*call backward\(\)"):
        debug.compare([1.0, 1.0], x)
    with pytest.raises(GradientError, match=r"retain_grads=True"):
        debug.compare([1.0, 1.0], y)
    y.sum().backward(retain_grads=True)
    assert debug.compare([1.0, 1.0], y)
    with pytest.raises(GradientError, match=r"pass its \.data"):
        debug.compare(1.0, Tensor(1.0))


@pytest.mark.parametrize("mine", [None, "x", 1j, [[1], [1, 2]], object(), {}])
def test_what_is_no_number_is_refused(mine):
    with pytest.raises(DTypeError, match="compare: your"):
        debug.compare(mine, np.ones(2))
    with pytest.raises(DTypeError, match="compare: gradient"):
        debug.compare(1.0, mine)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5), st.integers(0, 4), st.floats(0.1, 10))
def test_one_wrong_element_is_found(values, index, error):
    right, index = np.array(values), index % len(values)
    mine = right.copy()
    mine[index] += error
    result = debug.compare(mine, right)
    assert not result
    assert result.worst == (index,)
    assert result.absolute == np.abs(mine - right).max()


def test_gradients_of_a_float32_layer_agree_with_float64_ones():
    values = RNG.normal(size=(50, 20)), RNG.normal(size=(20, 5))
    x, W = (Tensor(v, dtype=np.float32, requires_grad=True) for v in values)
    tg.tanh(x @ W).sum().backward()
    result = debug.compare(values[0].T @ (1 - np.tanh(values[0] @ values[1]) ** 2), W)
    assert result.close
    assert not result.equal
