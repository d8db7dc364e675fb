"""`check_primitive`: every built-in operation passes, and each classic mistake fails with words that name it."""

import runpy

import numpy as np
import pytest
from calls import CONSTANTS, OPS

import tinygrad_sm as tg
from tinygrad_sm import Sample
from tinygrad_sm.checking.primitives import SampleCall, check_vjp_against_jvp
from tinygrad_sm.engine.primitive import PRIMITIVES
from tinygrad_sm.errors import (
    ArgumentError,
    DTypeError,
    GradcheckError,
    GradientError,
    InPlaceError,
    RuleError,
    TinygradError,
)
from tinygrad_sm.ops.samples import distinct, integers, normal, uniform


@pytest.fixture(autouse=True)
def registry_as_before():
    before, methods = dict(PRIMITIVES), dict(vars(tg.Tensor.__mro__[-2]))
    yield
    for name in set(PRIMITIVES) - set(before):
        del PRIMITIVES[name]
    for name in set(vars(tg.Tensor.__mro__[-2])) - set(methods):
        delattr(tg.Tensor.__mro__[-2], name)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_built_in_operations_pass(op):
    assert tg.check_primitive(op, constants=CONSTANTS.get(op.name, ())) is True


def test_ten_lines_of_ones_own_have_the_checks_the_line_and_the_method_of_a_built_in_operation():
    @tg.primitive(elementwise=True, samples=[Sample(normal(2, 3)), Sample(normal())])
    def softsquare(x):
        """Smooth absolute value: out = sqrt(1 + x**2) - 1."""
        return np.sqrt(1 + x * x) - 1

    @softsquare.vjp("x")
    def softsquare_vjp_x(g, out, x):
        return g * x / (out + 1)

    assert tg.check_primitive(softsquare)
    assert tg.check_primitive(softsquare, seed=7)
    line = "| `softsquare(x)` | Smooth absolute value: out = sqrt(1 + x**2) - 1 | | yes | x |"
    assert tg.describe_primitive(softsquare) == line
    assert tg.Tensor(0.0).softsquare().item() == 0


def test_operation_with_several_outputs_and_keywords_passes():
    @tg.primitive(method=False, samples=[Sample(normal(3), y=normal(3))])
    def sum_and_product(x, y):
        """Sum and product of two arrays: out = (x + y, x y)."""
        return x + y, x * y

    @sum_and_product.vjp("x")
    def sum_and_product_vjp_x(g, out, x, y):
        return g[0] + g[1] * y

    @sum_and_product.vjp("y")
    def sum_and_product_vjp_y(g, out, x, y):
        return g[0] + g[1] * x

    assert tg.check_primitive(sum_and_product)


def test_operation_with_a_residual_and_a_textbook_passes():
    @tg.primitive(method=False, residual=True, samples=[Sample(normal(2, 3))])
    def gauss(x):
        """Bell curve: out = exp(-x**2)."""
        out = np.exp(-x * x)
        return out, -2 * x * out

    @gauss.vjp("x")
    def gauss_vjp_x(g, out, x, residual=None):
        if residual is None:
            return -2 * g * x * out
        residual *= g
        return residual

    @gauss.textbook
    def gauss_textbook(x):
        return 1 / np.exp(np.square(x))

    assert tg.check_primitive(gauss)


def test_variadic_operation_passes():
    @tg.primitive(method=False, variadic=True, samples=[Sample([normal(2), normal(2), normal(2)])])
    def product_of(arrays):
        """Product of arrays of one shape: out = x0 x1 x2."""
        return arrays[0] * arrays[1] * arrays[2]

    @product_of.vjp("arrays")
    def product_of_vjp_arrays(g, out, position, arrays):
        return g * arrays[position - 1] * arrays[position - 2]

    assert tg.check_primitive(product_of)


def test_samples_may_hold_arrays():
    @tg.primitive(method=False, samples=[Sample(np.array([0.5, -1.0]), np.array([2.0, 3.0]), scale=np.array(2.0))])
    def weigh(x, weight, scale):
        """Values times weights: out = x weight scale."""
        return x * weight * scale

    @weigh.vjp("x")
    def weigh_vjp_x(g, out, x, weight, scale):
        return g * weight * scale

    assert tg.check_primitive(weigh, constants=["weight", "scale"])


# The catalogue of mistakes ----------------------------------------------------------------------------------------


MATRIX = [Sample(normal(2, 3))]


def own(forward, *rules, samples=MATRIX, doc="Something: out = f(x).", textbook=None, **traits):
    """An operation named `own` with a given forward and rules, which are named rule_<argument>."""
    forward.__name__, forward.__doc__ = "own", doc
    op = tg.primitive(method=False, samples=samples, **traits)(forward)
    for rule in rules:
        op.vjp(rule.__name__.removeprefix("rule_"))(rule)
    if textbook:
        op.textbook(textbook)
    return op


def wrong_sign():
    def rule_x(g, out, x):
        return g * np.sin(x)

    return own(lambda x: np.cos(x), rule_x)


def missing_sum_over_a_broadcast():
    def rule_x(g, out, x, row):
        return g

    def rule_row(g, out, x, row):
        return g

    return own(lambda x, row: x + row, rule_x, rule_row, samples=[Sample(normal(2, 3), normal(3))])


def one_row_instead_of_the_sum():
    def rule_row(g, out, x, row):
        return g[0] * x[0]

    return own(lambda x, row: x * row, rule_row, samples=[Sample(normal(2, 3), normal(3))])


def forward_overwrites_its_input():
    def rule_x(g, out, x):
        return g

    def forward(x):
        x += 1
        return x * 1

    return own(forward, rule_x)


def forward_overwrites_an_option():
    def rule_x(g, out, x, weight):
        return g * weight

    def forward(x, weight):
        weight /= weight.sum()
        return x * weight

    return own(forward, rule_x, samples=[Sample(normal(3), uniform(1, 2, 3))])


def forward_reuses_a_buffer():
    buffer = np.empty((2, 3))

    def rule_x(g, out, x):
        return g * out

    return own(lambda x: np.exp(x, out=buffer) if isinstance(x, np.ndarray) else np.exp(x), rule_x)


def float64_constant():
    def rule_x(g, out, x):
        return g * np.array([1.0, 2.0, 3.0])

    return own(lambda x: x * np.array([1.0, 2.0, 3.0]), rule_x)


def rule_overwrites_g():
    def rule_x(g, out, x):
        if isinstance(g, np.ndarray):
            g *= 2 * x
            return g
        return g * (2 * x)

    return own(lambda x: x * x, rule_x)


def rule_overwrites_the_output():
    def rule_x(g, out, x):
        if isinstance(out, np.ndarray):
            out *= g
            return out.copy()
        return g * out

    return own(lambda x: np.exp(x), rule_x)


def residual_that_is_the_output():
    def rule_x(g, out, x, residual=None):
        if residual is None:
            return g * out
        residual *= g
        return residual

    def forward(x):
        out = np.exp(x)
        return out, out

    return own(forward, rule_x, residual=True)


def residual_not_computed_again():
    kept = []

    def rule_x(g, out, x, residual=None):
        return 2 * g * (kept[0] if residual is None else residual)

    def forward(x):
        kept[:] = [x.copy()]
        return x * x, x.copy()

    return own(forward, rule_x, residual=True)


def residual_forgotten_on_tensors():
    def rule_x(g, out, x, residual=None):
        return g * x if residual is None else 2 * g * residual

    return own(lambda x: (x * x, x.copy()), rule_x, residual=True)


def second_derivative_wrong():
    def rule_x(g, out, x):
        return 3 * g * np.square(x.data if isinstance(x, tg.Tensor) else x)

    return own(lambda x: x * x * x, rule_x)


def derivative_by_g_wrong():
    def rule_x(g, out, x):
        return (g.detach() if isinstance(g, tg.Tensor) else g) * x * 2

    return own(lambda x: x * x, rule_x)


def rule_not_linear_in_g():
    def rule_x(g, out, x):
        return abs(g) * 2 * x

    return own(lambda x: x * x, rule_x)


def another_output_forgotten():
    def rule_x(g, out, x):
        return g[0] * 2

    return own(lambda x: (x * 2, x * 3), rule_x)


def strides_matter():
    def rule_x(g, out, x):
        return g * 2

    return own(lambda x: np.reshape(x.ravel("K") * 2, x.shape) if isinstance(x, np.ndarray) else x * 2, rule_x)


def not_its_textbook():
    def rule_x(g, out, x):
        return g * out

    return own(lambda x: np.exp(x), rule_x, textbook=lambda x: np.expm1(x))


def textbook_of_another_derivative():
    def rule_x(g, out, x):
        return g * out

    return own(lambda x: np.exp(x), rule_x, textbook=lambda x: np.exp(x) + 0 * np.sin(x).detach() * x + (x - x.data))


def scalar_shape():
    def rule_x(g, out, x):
        return g

    return own(lambda x: np.sum(x), rule_x)


def rule_that_raises():
    def rule_x(g, out, x):
        return g * undefined  # noqa: F821

    return own(lambda x: x * 2, rule_x)


def integer_output():
    def rule_x(g, out, x):
        return g

    return own(lambda x: np.argmax(x), rule_x)


def no_samples():
    def rule_x(g, out, x):
        return g

    return own(lambda x: x * 1, rule_x, samples=())


def samples_that_are_none():
    def rule_x(g, out, x):
        return g

    return own(lambda x: x * 1, rule_x, samples=[np.ones(3)])


def sample_that_is_no_list():
    def rule_x(g, out, x):
        return g

    return own(lambda x: x * 1, rule_x, samples=Sample(normal(3)))


def buffer_under_a_fixed_sample():
    buffer = np.empty(2)

    def rule_x(g, out, x):
        return g * out

    return own(lambda x: np.exp(x, out=buffer), rule_x, samples=[Sample(np.array([0.5, 1.0]))])


def no_docstring():
    def rule_x(g, out, x):
        return g

    return own(lambda x: x * 1, rule_x, doc=None)


def no_rules():
    return own(lambda x: x * 1)


def rules_of_what_has_none():
    def rule_x(g, out, x):
        return g

    return own(lambda x: x * 1, rule_x, differentiable=False)


def rule_that_no_sample_runs():
    def rule_x(g, out, x, y=None):
        return g

    def rule_y(g, out, x, y=None):
        return -g

    return own(lambda x, y=None: x * 1, rule_x, rule_y)


def sample_that_does_not_fit():
    def rule_x(g, out, x):
        return g

    return own(lambda x: x * 1, rule_x, samples=[Sample(normal(2)), Sample(normal(2), normal(2))])


def samples_of_integers_alone():
    def rule_x(g, out, x):
        return g

    return own(lambda x: x * 1, rule_x, samples=[Sample(integers(3, 4))])


def argument_without_a_rule():
    def rule_x(g, out, x, weight):
        return g * weight

    return own(lambda x, weight: x * weight, rule_x, samples=[Sample(normal(3), normal(3))])


def any_number_of_arguments():
    def rule_x(g, out, x):
        return g

    return own(lambda *x: x[0] * 1, rule_x)


def list_instead_of_a_tuple():
    def rule_x(g, out, x):
        return g[0] + g[1]

    return own(lambda x: [x * 1, x * 1], rule_x)


def number_of_python():
    def rule_x(g, out, x):
        return np.broadcast_to(g, x.shape)

    return own(lambda x: float(np.sum(x)), rule_x)


def nothing_returned():
    def rule_x(g, out, x):
        return g

    return own(lambda x: None, rule_x)


def residual_that_is_not_returned():
    def rule_x(g, out, x, residual=None):
        return g * 2

    return own(lambda x: x * 2, rule_x, residual=True)  # two rows, which would be taken for a pair


def rule_of_less_precision():
    def rule_x(g, out, x):
        return (g * 2).astype(np.float32)

    return own(lambda x: x * 2, rule_x)


def sample_on_a_kink():
    def rule_x(g, out, x):
        return g * (x > 0)

    return own(lambda x: np.maximum(x, 0), rule_x, samples=[Sample(np.array([0.0, 1.0, -2.0]))])


def sample_on_a_kink_that_is_a_jump_of_the_slope():
    def rule_x(g, out, x):
        return g * np.sign(x)

    return own(lambda x: np.abs(x), rule_x, samples=[Sample(np.array([0.0, 1.0, -2.0]))])


def rule_without_a_return():
    def rule_x(g, out, x):
        g * 2

    return own(lambda x: x * 2, rule_x)


def rule_for_arrays_alone():
    def rule_x(g, out, x):
        return g * 3 * np.asarray(x) ** 2

    return own(lambda x: x**3, rule_x)


def wrong_in_the_second_sample_alone():
    def rule_x(g, out, x, axis=None):
        return np.broadcast_to(g if axis is None else np.expand_dims(g, 0), x.shape)

    samples = [Sample(normal(2, 3)), Sample(normal(3, 3), axis=1)]
    return own(lambda x, axis=None: np.sum(x, axis), rule_x, samples=samples)


CATALOGUE = {
    wrong_sign: (GradcheckError, r"own, sample 0: the gradient for argument 0 \(x\)", "the sign is wrong"),
    missing_sum_over_a_broadcast: (RuleError, r"own, derivative for row", "declare elementwise=True"),
    one_row_instead_of_the_sum: (GradcheckError, r"own, sample 0: the gradient for argument 0 \(row\)", ""),
    forward_overwrites_its_input: (InPlaceError, "own, sample 0: the forward writes to its arguments", "copy"),
    forward_overwrites_an_option: (InPlaceError, "the forward writes to its arguments", "copy"),
    forward_reuses_a_buffer: (InPlaceError, "a second call overwrites the result of the first", "new array"),
    float64_constant: (DTypeError, "own, sample 0: float32 arguments give float64", "Python number"),
    rule_overwrites_g: (InPlaceError, "own, sample 0: rule_x writes to g", "new array"),
    rule_overwrites_the_output: (InPlaceError, "rule_x writes to out", "new array"),
    residual_that_is_the_output: (InPlaceError, "rule_x writes to out", "memory is its own"),
    residual_not_computed_again: (GradcheckError, "derivative of own, sample 0", ""),
    residual_forgotten_on_tensors: (GradcheckError, "a second backward gives another gradient for x", "residual"),
    second_derivative_wrong: (GradcheckError, r"derivative of own, sample 0: .* argument 0 \(x\)", "zero everywhere"),
    derivative_by_g_wrong: (GradcheckError, "derivative of own, sample 0: the gradient for argument 1", "zero"),
    rule_not_linear_in_g: (GradcheckError, "own, sample 0: the gradient for argument 0", "cotangent"),
    another_output_forgotten: (GradcheckError, "own, sample 0: the gradient for argument 0", ""),
    strides_matter: (GradcheckError, "lie in memory with the columns first", "strides"),
    not_its_textbook: (GradcheckError, "own, sample 0: the value is not that of its textbook", ""),
    textbook_of_another_derivative: (GradcheckError, "the derivative is not that of its textbook", ""),
    scalar_shape: (RuleError, r"own, derivative for x: .*returned shape \(\), expected \(2, 3\)", "argument's shape"),
    rule_that_raises: (RuleError, "own, derivative for x: .*undefined", ""),
    integer_output: (GradientError, "own, sample 0: no output is floating", "differentiable=False"),
    no_samples: (ArgumentError, "own has no samples", "tg.Sample("),
    samples_that_are_none: (ArgumentError, "samples must be a list of tg.Sample", "tg.Sample("),
    sample_that_is_no_list: (ArgumentError, "samples must be a list of tg.Sample", "tg.Sample("),
    buffer_under_a_fixed_sample: (InPlaceError, "a second call overwrites the result of the first", "new array"),
    no_docstring: (ArgumentError, "own has no docstring", "one sentence"),
    no_rules: (ArgumentError, "own has no rule", "@own.vjp('x')"),
    rules_of_what_has_none: (ArgumentError, "differentiable=False", "leave out"),
    rule_that_no_sample_runs: (ArgumentError, "no sample runs the rule for y", "add one"),
    sample_that_does_not_fit: (ArgumentError, "own, sample 1: too many positional arguments", r"the forward takes (x)"),
    samples_of_integers_alone: (ArgumentError, "no sample runs the rule for x", "floating array"),
    argument_without_a_rule: (ArgumentError, "weight is a floating array and has no rule", "constants=['weight']"),
    any_number_of_arguments: (ArgumentError, r"own takes \*x", "variadic=True"),
    list_instead_of_a_tuple: (DTypeError, "own, sample 0: the forward returns .*which is no array", "a tuple of them"),
    number_of_python: (DTypeError, "own, sample 0: the forward returns .*which is no array", "return an array"),
    nothing_returned: (DTypeError, "own, sample 0: the forward returns None, which is no array", "return an array"),
    residual_that_is_not_returned: (ArgumentError, "the forward returns .* and no residual", "(out, residual)"),
    rule_of_less_precision: (DTypeError, "own, sample 0: rule_x returns float32 for arguments of float64", "astype"),
    sample_on_a_kink: (GradcheckError, r"own, sample 0: .* at \(0,\)", "a kink or a jump there"),
    sample_on_a_kink_that_is_a_jump_of_the_slope: (GradcheckError, "derivative of own", "a kink or a jump there"),
    rule_without_a_return: (RuleError, "own, derivative for x: .*the rule returned None", "a rule returns a new array"),
    rule_for_arrays_alone: (RuleError, "own, derivative for x: .*np.asarray", "runs on arrays, and not on tensors"),
    wrong_in_the_second_sample_alone: (GradcheckError, "own, sample 1: the gradient for argument 0", "transposed"),
}


@pytest.mark.parametrize("mistake", CATALOGUE, ids=lambda mistake: mistake.__name__)
def test_mistake_is_found_and_named(mistake):
    kind, message, remedy = CATALOGUE[mistake]
    op = mistake()
    with pytest.raises(TinygradError, match=message) as caught:
        tg.check_primitive(op)
    assert type(caught.value) is kind
    assert remedy in caught.value.remedy
    assert caught.value.location.filename == __file__


@pytest.mark.parametrize(
    ("body", "crooked"),
    [
        ("return g * 2", None),
        ("if axis is None:\n        return g * 2\n    return 2 * g", None),
        ("n, m = len(x), x.ndim\n    return g * 2 if n > m else 2 * g", None),
        ("y = x * 2 if isinstance(x, np.ndarray) else 2 * x\n    return g * (y - x) * 2 / x", None),
        ("return g * 2 if (x > -100).all() else g", "g * 2 if (x > -100).all() else g"),
        ("n = x.max()\n    if n > 100:\n        return g\n    return 2 * g", "if n > 100:"),
        ("for i in range(2):\n        y = g * 2\n    return y", "for i in range(2):"),
        ("y = g * 2\n    y += 0\n    return y", "y += 0"),
        ("return (lambda y: 2 * y)(g)", "lambda y: 2 * y"),
    ],
)
def test_rule_that_is_no_straight_line_is_warned_of(body, crooked, tmp_path, recwarn):
    path = tmp_path / "rules.py"
    path.write_text(f"import numpy as np\n\ndef rule_x(g, out, x, axis=None):\n    {body}\n")
    rule = runpy.run_path(str(path))["rule_x"]
    assert tg.check_primitive(own(lambda x, axis=None: x * 2, rule))
    messages = [str(each.message) for each in recwarn]
    if crooked is None:
        assert messages == []
    else:
        assert len(messages) == 1
        assert f"own: rule_x is no straight line because of `{crooked}`" in messages[0]
        assert recwarn[0].filename == __file__


def test_reverse_and_forward_are_held_against_each_other():
    """On its own the comparison finds a rule that computes something else on tensors than on arrays."""

    def rule_x(g, out, x):
        return g * x if isinstance(x, tg.Tensor) else 2 * g * x

    op = own(lambda x: x * x, rule_x, samples=[Sample(distinct(2, 3))])
    call = SampleCall(op, 0)
    with pytest.raises(GradcheckError, match=r"own, sample 0: cotangent @ jvp is .*, and vjp @ tangent is"):
        check_vjp_against_jvp(call, call.arrays, np.random.default_rng(0))
