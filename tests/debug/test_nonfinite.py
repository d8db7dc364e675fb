"""`numerics`: who first made NaN or infinity, on the way forward and on the way back."""

import threading
import warnings

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, debug, nn, optim
from tinygrad_sm.debug.nonfinite import nan_ok, numerics
from tinygrad_sm.engine import tensor, transforms
from tinygrad_sm.engine.primitive import PRIMITIVES, Primitive
from tinygrad_sm.engine.tape import Sweep
from tinygrad_sm.errors import NonFiniteError, RuleError
from tinygrad_sm.ops.samples import Sample, uniform

PLAIN_RUN = Primitive.run


@pytest.fixture(autouse=True)
def engine_is_left_as_it_was():
    yield
    assert Primitive.run is PLAIN_RUN
    assert tensor.Sweep is Sweep
    assert transforms.Sweep is Sweep


def leaf(*values, dtype=float):
    return Tensor(np.array(values, dtype), requires_grad=True)


def stopped(function, *args):
    """What `numerics` says of a function, joined to one line."""
    with pytest.raises(NonFiniteError) as caught, numerics():
        function(*args)
    error = caught.value
    assert all(len(line) <= 80 for line in f"{error.message}\n  -> {error.remedy}".splitlines() if ".py:" not in line)
    return " ".join(str(caught.value).split())


def test_the_error_says_element_operand_expression_and_remedy():
    p = Tensor([[0.5, 0.25], [0.0, 0.25]], requires_grad=True)
    with pytest.raises(NonFiniteError) as caught, numerics():
        (1 + np.log(p).sum() * 2).backward()
    error = caught.value
    assert isinstance(error, FloatingPointError)
    assert error.message.splitlines() == ["log makes -inf at [1, 0]", "  p[1, 0] = 0"]
    assert error.location.expression == "np.log(p)"
    assert "log of 0: add a small eps to p, or take an op" in error.remedy
    assert "log_softmax" in error.remedy


@pytest.mark.parametrize(
    ("function", "values", "said"),
    [
        (np.log, [1.0, 0.0], "log makes -inf at [1]"),
        (np.log, [-3.0], "log makes nan at [0]"),
        (np.log, [-3.0], "has no value for"),
        (np.sqrt, [1.0, 2.0, -1.0], "sqrt makes nan at [2]"),
        (np.exp, [1.0, 1000.0], "exp makes inf at [1]"),
        (np.exp, [1000.0], "subtract the largest value first"),
        (lambda x: 1 / x, [2.0, 0.0], "divide makes inf at [1]"),
        (lambda x: 1 / x, [2.0, 0.0], "add a small eps to x"),
        (lambda x: x / x, [0.0], "are both 0 there"),
        (lambda x: x**-1, [0.0], "power makes inf"),
        (lambda x: x * 1e200 * 1e200, [1.0], "the values have grown out of range; lower the learning rate"),
        (lambda x: (x * np.inf) * np.array([0.0]), [1.0], "multiply makes nan"),
        (lambda x: (x * np.inf) * np.array([0.0]), [1.0], "is infinite there"),
        (lambda x: (x * np.inf) - (x * np.inf), [1.0], "subtract makes nan"),
        (lambda x: x.reshape(2, 1) @ x.reshape(1, 2), [1e200, 1e200], "matmul makes inf at [0, 0] and 3 more of 4"),
        (lambda x: (x * 1e308).sum(), [1.0, 1.0], "sum makes inf"),
        (lambda x: x.prod(), [1e200, 1e200], "prod makes inf"),
    ],
)
def test_what_makes_it_forward(function, values, said):
    assert said in stopped(function, leaf(*values))


def test_names_are_the_users():
    price, count = leaf(1.0, 2.0), Tensor([3.0, 0.0])
    assert "price[1] = 2 count[1] = 0" in stopped(lambda: price / count)
    x = leaf(0.0)
    assert "divide's x = 1 x[0] = 0" in stopped(lambda: 1 / x)


def test_broadcast_operands_are_shown_where_they_were_read():
    x, scale = Tensor(np.ones((2, 3)), requires_grad=True), Tensor([[1.0], [0.0]])
    assert "at [1, 0] and 2 more of 6 elements x[1, 0] = 1 scale[1, 0] = 0" in stopped(lambda: x / scale)


def test_overflow_of_float32_says_what_it_can_hold():
    said = stopped(np.exp, leaf(89.0, dtype=np.float32))
    assert "beyond 3.4e+38, the largest float32" in said
    assert "or compute in float64" in said
    assert "compute in float64" not in stopped(np.exp, leaf(1000.0))


def test_a_large_float32_matrix_product_is_looked_at_whether_or_not_the_processor_flags_it():
    x = Tensor(np.full((400, 400), 1e30, np.float32), requires_grad=True)
    said = stopped(lambda: x @ x)
    assert "matmul makes inf at [0, 0] and 159999 more of 160000 elements" in said
    assert "grown out of range" in said


def test_infinity_within_a_matrix_product_is_an_overflow():
    x, y = leaf(1e200, 1e200), Tensor([1e200, -1e200])
    assert "grown out of range" in stopped(lambda: x.reshape(1, 2) @ y.reshape(2, 1))


def test_the_first_producer_is_named_not_those_that_hand_it_on():
    x = leaf(1.0, -1.0)
    said = stopped(lambda: np.exp(np.sqrt(x) + 1).sum())
    assert said.startswith("sqrt makes nan at [1] x[1] = -1")


def test_what_is_handed_in_as_a_mask_is_handed_on():
    scores = leaf(1.0, 2.0, 3.0)
    mask = np.array([[0, -np.inf, 0], [-np.inf, -np.inf, -np.inf]])
    with numerics():
        for op in (F.softmax, F.log_softmax, tg.exp):
            np.where(mask == 0, op(scores + mask), 0).sum().backward()
        np.where([True, False, True], scores, -np.inf).max().backward()
        tg.logsumexp(scores + mask, axis=1)
    assert np.isfinite(scores.grad).all()


def test_infinity_that_is_produced_beside_a_mask_is_told():
    x = leaf(np.inf, 0.0)
    assert stopped(lambda: np.log(x)).startswith("log makes -inf at [1] and 1 more of 2 elements x[1] = 0")


def test_nan_in_the_data_is_told_by_the_operation_that_reads_it():
    data = np.ones((4, 3), np.float32)
    data[2, 1] = np.nan
    model = nn.MLP([3, 5, 2], generator=np.random.default_rng(0))
    said = stopped(lambda: model(data))
    assert said.startswith("linear reads NaN: x (4, 3) holds it already at [2, 1]")
    assert ", in 0.Linear" in said
    assert "your data or a parameter is not finite" in said
    model[2].weight.data[1, 1] = np.nan
    said = stopped(lambda: model(np.ones(3)))
    assert said.startswith("linear reads NaN: weight (5, 2) holds it already at [1, 1]")
    assert ", in 2.Linear" in said


def test_nan_may_be_asked_for_and_replaced():
    x = leaf(1.0, np.nan)
    with numerics():
        assert np.isnan(x).data.tolist() == [False, True]
        np.where(np.isnan(x), 0, x).sum().backward()


@pytest.mark.parametrize(
    ("function", "values", "rule", "expression"),
    [
        (np.sqrt, [0.0, 1.0], "the rule of sqrt for x makes inf at [0]", "g / (2 * out)"),
        (lambda x: x**0.5, [0.0], "the rule of power for x makes inf at [0]", "x ** np.subtract(y, 1)"),
    ],
)
def test_what_makes_it_backward(function, values, rule, expression):
    x = leaf(*values)
    y = function(x)
    said = stopped(lambda: y.sum().backward())
    assert f"backward: {rule}" in said
    assert "g[0] = 1 x[0] = 0" in said
    assert expression in said
    assert "_vjp_x" in said
    assert "the slope of" in said
    assert x.grad is None


def test_backward_names_the_forward_line_and_underlines_the_rule():
    x = leaf(0.0)
    y = np.sqrt(x)
    with pytest.raises(NonFiniteError) as caught, numerics():
        y.sum().backward()
    assert caught.value.location.expression == "np.sqrt(x)"
    lines = str(caught.value).splitlines()
    row = next(i for i, line in enumerate(lines) if "return g / (2 * out)" in line)
    start = lines[row].index("g / (2 * out)")
    assert lines[row + 1] == " " * start + "~" * len("g / (2 * out)")


def test_backward_is_watched_in_gradients_and_of_a_derivative_too():
    x = leaf(0.0)
    y = np.sqrt(x).sum()
    assert "the rule of sqrt" in stopped(lambda: tg.gradients(y, x))
    assert "the rule of sqrt" in stopped(lambda: tg.gradients(y, x, create_graph=True))
    z = leaf(0.0, 1.0)
    slope = tg.gradients((z**1.5).sum(), z, create_graph=True)
    assert "backward:" in stopped(lambda: slope.sum().backward())


def test_backward_may_be_left_out():
    x = leaf(0.0, 1.0)
    with numerics(backward=False):
        np.sqrt(x).sum().backward()
    assert x.grad.tolist() == [np.inf, 0.5]


def test_an_overflowing_gradient():
    x = leaf(1e-200)
    y = 1 / x
    said = stopped(lambda: y.backward([1.0]))
    assert "backward: the rule of divide for x makes -inf" in said
    assert "the gradient grew beyond 1.8e+308" in said


def test_contributions_that_add_up_to_infinity():
    x = leaf(1e-10)
    loss = (x * 1e308 + x * 1.5e308).sum()
    assert "contributions to leaf (1,) add up to inf at [0]" in stopped(lambda: loss.backward())


def test_a_cotangent_that_holds_nan():
    x = leaf(1.0)
    y = x * 2
    assert "the cotangent that it was given holds NaN" in stopped(lambda: y.backward([np.nan]))


def test_zero_times_an_infinite_slope_is_no_failure():
    x = leaf(0.0, 4.0)
    with numerics():
        np.where([False, True], np.sqrt(x), 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_what_an_operation_masks_inside_is_its_own_affair():
    @tg.primitive(elementwise=True, samples=[Sample(uniform(0, 1, 3))], method=False)
    def entropy_of(p):
        """Entropy: out = -p log p, and 0 where p is 0."""
        return np.where(p == 0, 0, -p * np.log(p))

    @entropy_of.vjp("p")
    def entropy_of_vjp_p(g, out, p):
        return g * np.where(p == 0, 0, -np.log(p) - 1)

    try:
        p = leaf(0.0, 0.5)
        with numerics():
            entropy_of(p).sum().backward()
        assert p.grad.tolist() == [0.0, np.log(2) - 1]
    finally:
        del PRIMITIVES["entropy_of"]


def test_an_operation_of_the_users_own_is_told_like_any_other():
    @tg.primitive(elementwise=True, samples=[Sample(uniform(1, 2, 3))], method=False)
    def inverse_square(x):
        """Inverse square: out = 1 / x**2."""
        return 1 / x**2

    @inverse_square.vjp("x")
    def inverse_square_vjp_x(g, out, x):
        scale = x**3
        return -2 * g / scale

    try:
        x = leaf(1.0, 0.0)
        assert stopped(inverse_square, x).startswith("inverse_square makes inf at [1] inverse_square's x[1] = 0")
        with nan_ok():
            y = inverse_square(x)
        said = stopped(lambda: y.backward([1.0, 1.0]))
        assert "in inverse_square_vjp_x return -2 * g / scale" in said.replace(
            "test_an_operation_of_the_users_own_is_told_like_any_other.<locals>.", ""
        )
        assert "out is infinite there" in said
    finally:
        del PRIMITIVES["inverse_square"]


def test_broken_rules_are_still_told_as_such():
    @tg.primitive(samples=[Sample(uniform(1, 2, 3))], method=False)
    def broken_op(x):
        """The operand: out = x."""
        return x * 1.0

    @broken_op.vjp("x")
    def broken_op_vjp_x(g, out, x):
        return g[:1]

    try:
        with pytest.raises(RuleError, match="returned shape"), numerics():
            broken_op(leaf(1.0, 2.0)).sum().backward()
    finally:
        del PRIMITIVES["broken_op"]


def outputs_and_gradients(op, sample):
    """What an operation makes of a sample, and what backward makes of that, all arrays in a list."""
    args, kwargs = sample.make(np.random.default_rng(0))
    leaves = []

    def variable(value):
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            leaves.append(Tensor(value, requires_grad=True))
            return leaves[-1]
        return value

    named = zip(op.parameters, args, strict=False)
    args = [
        [variable(v) for v in value] if isinstance(value, list) else variable(value) if name in op.rules else value
        for name, value in named
    ]
    outs = op(*args, **kwargs)
    outs = outs if isinstance(outs, tuple) else (outs,)
    if outs[0].requires_grad:
        sum(out.sum() for out in outs).backward()
    return [
        np.asarray(each) for each in [*(out.data for out in outs), *(leaf.grad for leaf in leaves)] if each is not None
    ]


@pytest.mark.parametrize("name", sorted(name for name, op in PRIMITIVES.items() if op.differentiable))
def test_every_operation_computes_the_same_under_watch(name):
    for sample in PRIMITIVES[name].samples:
        expected = outputs_and_gradients(PRIMITIVES[name], sample)
        with numerics():
            found = outputs_and_gradients(PRIMITIVES[name], sample)
        assert len(found) == len(expected) > 0
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", sorted(name for name, op in PRIMITIVES.items() if op.differentiable))
def test_nan_in_any_operand_of_any_operation_is_told_or_not_handed_on(name):
    op = PRIMITIVES[name]
    told = 0
    for sample in op.samples:
        args, kwargs = sample.make(np.random.default_rng(0))
        first = args[0][0] if isinstance(args[0], list) else args[0]
        if not isinstance(first, np.ndarray) or first.dtype.kind != "f":
            continue
        first[...] = np.nan
        with nan_ok():
            out = op(*args, **kwargs)
            handed_on = any(np.isnan(each).any() for each in (out if isinstance(out, tuple) else (out,)))
        if handed_on:
            told += 1
            assert "holds it already" in stopped(lambda: op(*args, **kwargs))  # noqa: B023  # called at once
        else:
            with numerics():
                op(*args, **kwargs)
    assert told or name in ("where", "embedding")  # whose first operand is a condition, or labels


def test_training_is_bit_for_bit_the_same():
    def weights(context):
        model = nn.MLP([3, 8, 2], generator=np.random.default_rng(0))
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        x = np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32)
        with context:
            for _ in range(5):
                optimizer.zero_grad()
                F.cross_entropy(model(x), np.arange(16) % 2).backward()
                optimizer.step()
        return model.state_dict()

    plain, watched = weights(nan_ok()), weights(numerics())
    for name, value in plain.items():
        np.testing.assert_array_equal(watched[name], value)


def test_a_diverging_training_loop_stops_where_it_left_the_numbers():
    W = Tensor(np.full((3, 1), 2.0, np.float32), requires_grad=True)
    x, y = np.ones((8, 3), np.float32), np.ones((8, 1), np.float32)

    def train(w):
        for _ in range(100):
            ((x @ w - y) ** 2).mean().backward()
            with tg.no_grad():
                w -= 50.0 * w.grad
            w.grad = None

    assert "lower the learning rate" in stopped(train, W)
    assert np.isfinite(W.data).all()


def test_an_update_in_place_is_watched():
    w = leaf(1e308)

    def step():
        with tg.no_grad():
            w.__isub__(Tensor([-1e308]))

    assert stopped(step).startswith("subtract makes inf at [0]")


def test_contexts_nest_and_nan_ok_lets_a_part_be():
    x = leaf(0.0)
    with numerics():
        with numerics(backward=False):
            np.sqrt(x).sum().backward()
        with nan_ok(), warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.log(x).item() == -np.inf
            with pytest.raises(NonFiniteError), numerics():
                np.log(x)
        with pytest.raises(NonFiniteError):
            np.log(x)
        with pytest.raises(NonFiniteError):
            np.sqrt(x).sum().backward()


def test_it_goes_on_watching_after_an_error_that_was_caught():
    x = leaf(0.0)
    with numerics():
        for _ in range(3):
            with pytest.raises(NonFiniteError):
                np.log(x)
            with pytest.raises(NonFiniteError):
                np.sqrt(x).sum().backward()
            with pytest.raises(tg.errors.ShapeError):
                x.reshape(1, 1) @ np.ones((2, 2))


def test_as_a_decorator():
    @numerics()
    def loss_of(x):
        return np.log(x)

    with pytest.raises(NonFiniteError):
        loss_of(leaf(0.0))
    assert loss_of(leaf(1.0)).item() == 0
    with np.errstate(divide="ignore"):
        assert np.log(leaf(0.0)).item() == -np.inf


def test_other_threads_are_not_watched():
    entered, done = threading.Event(), threading.Event()
    found = []

    def elsewhere():
        entered.wait(10)
        with np.errstate(all="ignore"):
            x = leaf(0.0)
            y = np.log(x)
            np.sqrt(x).sum().backward()
        found.extend([y.item(), x.grad.item()])
        done.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with numerics():
        entered.set()
        assert done.wait(10)
        with pytest.raises(NonFiniteError):
            np.log(leaf(0.0))
    thread.join()
    assert found == [-np.inf, np.inf]


def test_two_threads_may_watch_and_the_last_one_restores_the_engine():
    barrier = threading.Barrier(4)
    said = []

    def work(i):
        barrier.wait(10)
        for _ in range(20):
            try:
                with numerics():
                    np.log(leaf(*[1.0] * i, 0.0))
            except NonFiniteError as error:
                said.append((i, error.message.splitlines()[0].endswith(f"[{i}]")))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == sorted([(i, True) for i in range(4)] * 20)


def test_without_a_context_nothing_is_watched_and_numpy_warns_as_ever():
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        np.log(leaf(0.0))


def test_empty_and_0d_and_integer_operands():
    with numerics():
        np.log(leaf())
        tg.sum(leaf())
        tg.argmax(np.array([1, 2]))
        tg.Tensor([1, 2]) // 2
    said = stopped(lambda: np.log(Tensor(0.0, requires_grad=True)))
    assert said.startswith("log makes -inf log's x = 0")


def test_code_without_source_is_told_without_names():
    namespace = {"x": leaf(0.0), "np": np}
    said = stopped(lambda: exec("y = np.log(x)", namespace))
    assert said.startswith("log makes -inf at [0] log's x[0] = 0")


def test_where_the_compared_gradient_is_nan_compare_says_so_too():
    assert "NaN or infinity" in debug.compare(np.nan, np.array(1.0)).cause
