"""An operation of the user's own: several outputs, residuals, variadic operands, and what its mistakes look like."""

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.engine.primitive import PRIMITIVES
from tinygrad_sm.errors import ArgumentError, GradientError, RuleError, TinygradError


@pytest.fixture(autouse=True)
def registry_as_before():
    before, methods = dict(PRIMITIVES), dict(vars(tg.Tensor.__mro__[-2]))
    yield
    for name in set(PRIMITIVES) - set(before):
        del PRIMITIVES[name]
    for name in set(vars(tg.Tensor.__mro__[-2])) - set(methods):
        delattr(tg.Tensor.__mro__[-2], name)


def leaf(*values):
    return Tensor(list(values), dtype=float, requires_grad=True)


def test_own_operation_is_like_a_built_in_one():
    @tg.primitive(elementwise=True)
    def cube(x):
        """The third power."""
        return x * x * x

    @cube.vjp("x")
    def cube_vjp_x(g, out, x):
        return g * (3 * x * x)

    assert cube(2.0) == 8
    assert cube(np.ones(2)).tolist() == [1, 1]
    assert cube.__doc__ == "The third power."
    assert repr(cube) == "<op cube(x)>"
    x = leaf(1, 2)
    y = x.cube()  # a method too
    assert y.tape()[-1].name == "cube"
    y.sum().backward()
    assert x.grad.tolist() == [3, 12]
    assert tg.gradcheck(cube, np.array([0.5, -1.0]), order=2)
    slope = tg.gradients(cube(x).sum(), x, create_graph=True)
    assert tg.gradients(slope.sum(), x).data.tolist() == [6, 12]


def test_decorator_without_parentheses_or_with_an_unknown_option_is_refused_with_what_to_write():
    for wrong, said in (
        (lambda: tg.primitive(lambda x: x), "not <function"),
        (lambda: tg.primitive(elementvise=True, samples=[]), "not elementvise"),
        (lambda: tg.primitive(rules={}), "not rules"),
    ):
        with pytest.raises(ArgumentError, match=said) as caught:
            wrong()
        assert "@primitive(samples=" in caught.value.remedy
        assert caught.value.location.filename == __file__


def test_elementwise_operation_gets_broadcasting_and_the_law_of_zero():
    @tg.primitive(elementwise=True, method=False)
    def scaled(x, y):
        return x * y

    @scaled.vjp("x")
    def scaled_vjp_x(g, out, x, y):
        return g * y

    @scaled.vjp("y")
    def scaled_vjp_y(g, out, x, y):
        return g * x

    x, y = Tensor(np.ones((2, 3)), requires_grad=True), Tensor(np.full((3,), np.inf), requires_grad=True)
    scaled(x, y).backward([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert x.grad.tolist() == [[0, np.inf, 0], [0, 0, 0]]
    assert y.grad.tolist() == [0, 1, 0]
    assert not hasattr(x, "scaled")


def test_name_that_is_taken_is_refused():
    with pytest.raises(ArgumentError, match=r"exp is registered by tinygrad_sm\.ops\.elementwise") as caught:

        @tg.primitive()
        def exp(x):
            return x

    assert "another name" in caught.value.remedy


def test_defining_an_operation_again_replaces_it():
    """As when a notebook cell runs twice."""
    for factor in (2, 3):

        @tg.primitive(method=False)
        def again(x, factor=factor):
            return x * factor

    assert PRIMITIVES["again"](1) == 3


def test_unknown_option_of_primitive_is_refused():
    with pytest.raises((TinygradError, TypeError), match="elementwize"):

        @tg.primitive(elementwize=True)
        def own(x):
            return x


def test_rule_for_an_unknown_argument_is_refused():
    @tg.primitive(method=False)
    def own(x, y):
        return x + y

    with pytest.raises(ArgumentError, match="no argument 'z' among x, y"):

        @own.vjp("z")
        def own_vjp_z(g, out, x, y):
            return g


@pytest.mark.parametrize(
    "rule",
    [
        lambda g, x, y: g,
        lambda g, out, y, x: g,
        lambda g, out, x: g,
        lambda out, g, x, y: g,
        lambda g, out, x, y, z: g,
    ],
)
def test_rule_with_other_arguments_is_refused(rule):
    @tg.primitive(method=False)
    def own(x, y):
        return x + y

    with pytest.raises(ArgumentError, match=r"a rule takes \(g, out, x, y\), not \("):
        own.vjp("x")(rule)


def test_argument_without_a_rule_is_a_constant():
    @tg.primitive(method=False)
    def weigh(x, weight):
        return x * weight

    @weigh.vjp("x")
    def weigh_vjp_x(g, out, x, weight):
        return g * weight

    x, w = leaf(1, 2), leaf(3, 4)
    weigh(x, w.detach()).sum().backward()
    assert x.grad.tolist() == [3, 4]
    for call in (lambda: weigh(x, w), lambda: weigh(x, weight=w), lambda: weigh(weight=w, x=x.data)):
        with pytest.raises(GradientError, match="weigh has no derivative for weight") as caught:
            call()
        assert caught.value.remedy == "pass weight.detach()"
        assert caught.value.location.expression.startswith("weigh(")
    with tg.no_grad():
        assert weigh(x, w).data.tolist() == [3, 8]


def test_operation_without_any_rule_cannot_be_differentiated():
    @tg.primitive(method=False)
    def own(x):
        return x * 2

    with pytest.raises(GradientError, match="own has no derivative for x"):
        own(leaf(1))


# Mistakes in a rule -----------------------------------------------------------------------------------------------


def with_rule(rule):
    """A product of a matrix and a row whose rule for the row is the given one."""

    @tg.primitive(method=False)
    def row_product(x, row):
        return x * row

    @row_product.vjp("x")
    def row_product_vjp_x(g, out, x, row):
        return g * row

    row_product.vjp("row")(rule)
    return row_product


def forgets_the_sum(g, out, x, row):
    return g * x


def raises(g, out, x, row):
    raise ZeroDivisionError("by hand")


def misspells(g, out, x, row):
    return g * roww  # noqa: F821


def returns_nothing(g, out, x, row):
    _ = g * x


def does_not_fit(g, out, x, row):
    return g @ x


def returns_text(g, out, x, row):
    return "gradient"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (forgets_the_sum, r"the rule returned shape \(2, 3\), expected \(3,\)"),
        (raises, "by hand"),
        (misspells, "roww"),
        (returns_nothing, "row_product"),
        (does_not_fit, "matmul"),
        (returns_text, "row_product"),
    ],
)
@pytest.mark.parametrize(
    "differentiate",
    [
        lambda y, row: y.sum().backward(),
        lambda y, row: tg.gradients(y.sum(), row),
        lambda y, row: tg.gradients(y.sum(), row, create_graph=True),
    ],
    ids=["backward", "gradients", "create_graph"],
)
def test_mistake_in_a_rule_is_shown_with_op_argument_shapes_and_the_forward_line(rule, message, differentiate):
    row_product = with_rule(rule)
    x, row = Tensor(np.ones((2, 3)), requires_grad=True), leaf(1, 2, 3)
    y = row_product(x, row)  # the forward line
    with pytest.raises(RuleError, match=message) as caught:
        differentiate(y, row)
    error = caught.value
    assert error.message.startswith("row_product, derivative for row: ")
    assert "(2, 3) float64" in error.message
    assert "(3,) float64" in error.message
    assert error.location.expression == "row_product(x, row)"
    assert "the forward line" in error.location.source_line
    assert error.__cause__ is not None
    assert row.grad is None


def test_rule_that_returns_nothing_for_a_scalar_is_noticed():
    """Without a check, NumPy makes NaN of None."""

    @tg.primitive(method=False)
    def own(x):
        return x * 2.0

    @own.vjp("x")
    def own_vjp_x(g, out, x):
        _ = g * 2.0

    x = Tensor(1.0, requires_grad=True)
    with pytest.raises(RuleError, match="own, derivative for x"):
        own(x).backward()


@pytest.mark.parametrize("result", [[1, 2], np.array([1, 2]), np.array([1.0, 2.0]), (1.0, 2.0)])
def test_rule_may_return_lists_and_other_types(result):
    @tg.primitive(method=False)
    def own(x):
        return x.sum()

    @own.vjp("x")
    def own_vjp_x(g, out, x):
        return result

    x = Tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    own(x).backward()
    assert x.grad.tolist() == [1, 2]
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize(
    "pick", [lambda g, out, x: g, lambda g, out, x: out, lambda g, out, x: x, lambda g, out, x: x[::-1]]
)
@pytest.mark.parametrize("retain", [False, True])
def test_rule_may_return_what_it_was_given_and_the_gradient_is_an_array_of_its_own(pick, retain):
    @tg.primitive(method=False)
    def own(x):
        return x * 2.0

    @own.vjp("x")
    def own_vjp_x(g, out, x):
        return pick(g, out, x)

    x = leaf(1, 2)
    h = +x
    y = own(h)
    cotangent = np.array([5.0, 7.0])
    y.backward(cotangent, retain_grads=retain)
    single = leaf(1, 2)
    z = own(single)
    z.backward(cotangent)
    grads = [x.grad, single.grad, *([h.grad, y.grad] if retain else [])]
    held = [x.data, h.data, y.data, single.data, z.data, cotangent]
    for i, grad in enumerate(grads):
        assert not any(np.shares_memory(grad, other) for other in (*grads[:i], *held))


def test_mistake_in_the_forward_is_named_too():
    @tg.primitive(method=False, hint="give it a square")
    def own(x):
        return x @ x

    with pytest.raises(tg.errors.ShapeError, match=r"own: x \(2, 3\) float64") as caught:
        own(Tensor(np.ones((2, 3)), requires_grad=True))
    assert caught.value.remedy == "give it a square"

    @tg.primitive(method=False)
    def other(x):
        return x.no_such_thing

    with pytest.raises(AttributeError, match="no_such_thing"):
        other(leaf(1))


# Several outputs --------------------------------------------------------------------------------------------------


@pytest.fixture
def min_max():
    """The two sorted halves of a pair: two outputs of one node."""

    @tg.primitive(method=False)
    def parts(x, scale):
        return x.sum() * scale, x * x

    @parts.vjp("x")
    def parts_vjp_x(g, out, x, scale):
        total, squares = g
        return total * scale * np.ones_like(x) + 2 * squares * x

    @parts.vjp("scale")
    def parts_vjp_scale(g, out, x, scale):
        return g[0] * out[0] / scale

    return parts


def test_two_outputs_are_one_node(min_max):
    x = leaf(1, 2)
    total, squares = min_max(x, 3.0)
    assert (total.item(), squares.data.tolist()) == (9, [1, 4])
    assert total.tape()[-1] is squares.tape()[-1]
    assert len((total * squares.sum()).tape()) == 4
    assert "-> (), (2,)" in str(total.tape())
    values = min_max(np.array([1.0, 2.0]), 3.0)
    assert type(values) is tuple
    assert values[0] == 9


def test_gradient_of_both_outputs_and_of_one_alone(min_max):
    for f, expected in [
        (lambda total, squares: total, [3, 3]),
        (lambda total, squares: squares.sum(), [2, 4]),
        (lambda total, squares: total + 10 * squares.sum(), [23, 43]),
        (lambda total, squares: squares[1] * total, [12, 12 + 36]),
    ]:
        x = leaf(1, 2)
        f(*min_max(x, 3.0)).backward()
        assert x.grad.tolist() == expected
        assert tg.gradients(f(*min_max(x, 3.0)), x, create_graph=True).data.tolist() == expected


def test_rule_is_called_once_for_both_outputs(min_max):
    calls = []
    rule = min_max.rules["x"]

    @min_max.vjp("x")
    def parts_vjp_x(g, out, x, scale):
        calls.append(len(g))
        return rule(g, out, x, scale)

    x = leaf(1, 2)
    total, squares = min_max(x, 3.0)
    (total + squares.sum()).backward()
    assert calls == [2]


def test_derivatives_with_respect_to_one_output_of_several(min_max):
    x = leaf(1, 2)
    total, squares = min_max(x, 3.0)
    y = total * squares.sum()
    slopes = tg.gradients(y, [total, squares, x])
    assert [s.data.tolist() for s in slopes] == [5, [9, 9], [15 + 18, 15 + 36]]
    only = tg.gradients(total * 2, [squares, total])
    assert [s.data.tolist() for s in only] == [[0, 0], 2]


def test_retained_gradient_of_an_unused_output_is_none(min_max):
    x = leaf(1, 2)
    total, squares = min_max(x, 3.0)
    total.backward(retain_grads=True)
    assert total.grad == 1
    assert squares.grad is None


def test_two_outputs_to_second_order(min_max):
    array = np.array([1.0, 2.0])
    assert tg.gradcheck(lambda x, s: min_max(x, s), [array, np.array(3.0)], order=2)
    assert tg.gradcheck(lambda x, s: min_max(x, s)[0], [array, np.array(3.0)], order=2)


def test_whole_numbers_beside_a_floating_output_carry_no_gradient():
    @tg.primitive(method=False)
    def best(x):
        return np.max(x), np.argmax(x)

    @best.vjp("x")
    def best_vjp_x(g, out, x):
        return np.where(np.arange(len(x)) == out[1], g[0], 0)

    x = leaf(1, 3, 2)
    value, place = best(x)
    assert value.requires_grad
    assert not place.requires_grad
    value.backward()
    assert x.grad.tolist() == [0, 1, 0]


# Variadic operations and residuals --------------------------------------------------------------------------------


def test_variadic_operation_tells_its_rule_the_position():
    @tg.primitive(variadic=True, method=False)
    def total(arrays, factor=1.0):
        out = 0.0
        for i, array in enumerate(arrays):
            out = out + (i + 1) * factor * array
        return out

    @total.vjp("arrays")
    def total_vjp_arrays(g, out, position, arrays, factor=1.0):
        return g * (position + 1) * factor

    x, y = leaf(1, 2), leaf(3, 4)
    out = total([x, np.zeros(2), y, x], factor=10.0)
    assert out.data.tolist() == [10 * (1 + 9 + 4), 10 * (2 + 12 + 8)]
    out.sum().backward()
    assert x.grad.tolist() == [50, 50]
    assert y.grad.tolist() == [30, 30]
    assert total((np.ones(1), np.ones(1)), 2.0).tolist() == [6]
    assert tg.gradcheck(lambda a, b: total([a, b, a]), [np.ones(2), np.ones(2)], order=2)


def test_variadic_rule_may_use_the_output():
    @tg.primitive(variadic=True, method=False)
    def soft_maximum(arrays):
        total = np.exp(arrays[0])
        for array in arrays[1:]:
            total = total + np.exp(array)
        return np.log(total)

    @soft_maximum.vjp("arrays")
    def soft_maximum_vjp_arrays(g, out, position, arrays):
        return g * np.exp(arrays[position] - out)

    x, y = leaf(0, 1), leaf(0, 1)
    soft_maximum([x, y]).sum().backward()
    np.testing.assert_allclose([x.grad, y.grad], np.full((2, 2), 0.5))
    assert tg.gradcheck(lambda a, b: soft_maximum([a, b]), [np.ones(2), np.zeros(2)], order=2)


def test_mistake_in_a_variadic_rule_names_the_operand():
    @tg.primitive(variadic=True, method=False)
    def total(arrays):
        return arrays[0] + arrays[1]

    @total.vjp("arrays")
    def total_vjp_arrays(g, out, position, arrays):
        return g[:1] if position else g

    x = leaf(1, 2)
    with pytest.raises(RuleError, match=r"total, derivative for arrays\[1\]: .*shape \(1,\), expected \(2,\)"):
        total([x, x]).sum().backward()


def test_residual_is_handed_over_once_and_computed_again_afterwards():
    handed = []

    @tg.primitive(method=False, residual=True)
    def squared(x):
        return x * x, 2 * x

    @squared.vjp("x")
    def squared_vjp_x(g, out, x, residual=None):
        handed.append(residual is not None)
        if residual is None:
            return g * (2 * x)
        residual *= g  # it is ours to overwrite
        return residual

    x = leaf(1, 2)
    y = squared(x)
    assert squared(3.0) == 9
    y.backward([1.0, 10.0])
    y.backward([1.0, 10.0])
    assert handed == [True, False]
    assert x.grad.tolist() == [4, 80]
    slope = tg.gradients(squared(x).sum(), x, create_graph=True)
    assert tg.gradients(slope.sum(), x).data.tolist() == [2, 2]
    assert tg.gradcheck(squared, x.data, order=2)
