"""Every path's contribution, which add up, and the sums behind rules that do not run on tensors."""

import gc
import sys

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.debug.stepping.differences import check
from tinygrad_sm.debug.stepping.lookup import value_or_gradient
from tinygrad_sm.debug.stepping.paths import count_paths, paths, walk
from tinygrad_sm.debug.stepping.pullback import MOST_UNITS
from tinygrad_sm.debug.stepping.screen import screen
from tinygrad_sm.debug.stepping.sums import sum_of, why


def leaf(values, name="x"):
    return tg.Tensor(values, requires_grad=True, name=name)


def paths_to(loss, name="x"):
    recording = Recording(loss)
    return paths(recording, value_or_gradient(name, recording)).splitlines()


def contributions(loss, name="x"):
    recording = Recording(loss)
    target = value_or_gradient(name, recording)
    return [np.asarray(g) for _, g in walk(recording, target, count_paths(recording, target))]


def test_every_path_is_a_product_of_slopes():
    """d/dx of x * exp(x) + sin(x) + x, term by term as the product and sum rules give it."""
    x = leaf([0.3, -1.2])
    got = contributions((x * tg.exp(x) + tg.sin(x) + x).sum())
    v = x.data
    expected = [np.exp(v), v * np.exp(v), np.cos(v), np.ones(2)]
    assert len(got) == 4
    for each in expected:
        assert any(np.allclose(each, g, rtol=1e-12) for g in got)


def test_the_listing_names_the_operations_and_proves_the_sum():
    x = leaf([0.3, -1.2])
    lines = paths_to((x * tg.exp(x)).sum())
    assert lines[0] == " g_x (2,) is the sum over 2 paths:"
    assert sorted(line.split("  ")[2] for line in lines[1:3]) == [
        "x -> [1] exp -> [2] multiply -> [3] sum",
        "x -> [2] multiply -> [3] sum",
    ]
    assert lines[3].startswith(" they add up to g_x; largest difference ")
    assert float(lines[3].rpartition(" ")[2]) < 1e-12


def test_a_value_used_twice_by_one_operation_is_two_paths():
    x = leaf([2.0, 5.0])
    got = contributions((x * x).sum())
    np.testing.assert_array_equal(got, [[2.0, 5.0], [2.0, 5.0]])


def test_broadcasting_is_summed_on_the_way():
    b = leaf([1.0, 2.0], "b")
    (got,) = contributions((np.arange(6.0).reshape(3, 2) * b).sum(), "b")
    np.testing.assert_array_equal(got, [0.0 + 2 + 4, 1.0 + 3 + 5])


@pytest.fixture
def halves():
    """A user's operation with two outputs."""

    @tg.primitive(method=False)
    def halves(x):
        """Both halves of an array."""
        return x[: x.size // 2], x[x.size // 2 :]

    @halves.vjp("x")
    def halves_vjp_x(g, out, x):
        return tg.concatenate([g[0], g[1]])

    yield halves
    del tg.engine.primitive.PRIMITIVES["halves"]


def test_several_outputs(halves):
    x = leaf(np.arange(1.0, 5.0))
    a, b = halves(x)
    loss = (a * b).sum() + (3 * b).sum()
    got = contributions(loss)
    assert len(got) == 3
    np.testing.assert_array_equal(sum(got), [3.0, 4.0, 1.0 + 3, 2.0 + 3])
    recording = Recording(loss)
    text = why(recording, value_or_gradient("x", recording), (3,))
    assert "g is taken at g[1][1]" in text
    assert "g_x[3] = 5, as recorded" in text
    step = recording.backward[-1]
    lines = screen(step).splitlines()
    assert any(line.startswith("in     g[0] (2,)  [3 4]  from [") for line in lines)
    assert any(line.startswith("       g[1] (2,)  [4 5]  from [") for line in lines)
    assert check(step)[1]


def test_a_value_in_between_and_the_start():
    x = leaf([1.0, 2.0])
    h = x * 2
    h.name = "h"
    loss = (h * h).sum()
    loss.name = "loss"
    assert " g_h (2,) is the sum over 2 paths:" in paths_to(loss, "g_h")
    assert paths_to(loss, "loss") == [" no path: g_loss is where backward starts"]


@pytest.mark.parametrize("doublings", [8, 30, 2000])
def test_too_many_paths_are_counted_and_shown_by_their_last_step(doublings):
    x = leaf(1.0)
    h = x
    for _ in range(doublings):
        h = (h + h) * 0.5
    lines = paths_to(h + x)
    count = f"{2**doublings + 1:,}" if doublings < 60 else "more than 10**18"
    assert f"the sum over {count} paths, too many to list" in " ".join(lines)
    assert lines[-1] == " they add up to g_x; largest difference 0"
    assert " from [" in lines[2]
    assert len(lines) <= 7


@pytest.mark.slow
def test_a_path_of_100_000_operations():
    x = leaf(1.0)
    h = x
    for _ in range(100_000):
        h = h * 1.0
    assert sys.getrecursionlimit() < 100_000
    lines = paths_to(h)
    assert "... 99,992 more ..." in " ".join(" ".join(lines).split())
    assert lines[-1].endswith("largest difference 0")
    del h
    gc.collect()


def test_infinite_slopes_stay_away_from_what_does_not_count():
    x = leaf([0.0, 4.0])
    loss = (tg.sqrt(x) * np.array([0.0, 1.0])).sum()
    (got,) = contributions(loss)
    np.testing.assert_array_equal(got, [0.0, 0.25])
    assert paths_to(loss)[-1].endswith("largest difference 0")
    recording = Recording(loss)
    assert "0: no element of g counts here" in why(recording, value_or_gradient("x", recording), (0,))


def test_nan_is_the_sum_of_nan():
    x = leaf([-1.0, 4.0])
    with np.errstate(all="ignore"):
        loss = tg.log(x).sum() * np.nan
    recording = Recording(loss)
    assert "g_x[0] = nan, as recorded" in why(recording, value_or_gradient("x", recording), (0,))
    assert paths_to(loss)[-1].endswith("largest difference 0")


def test_infinities_that_cancel_are_no_warning():
    x = leaf([0.0, 1.0])
    with np.errstate(all="ignore"):
        loss = (tg.sqrt(x) - 2 * tg.sqrt(x)).sum()
    lines = paths_to(loss)
    assert "[inf 0.5]" in " ".join(lines)
    assert lines[-1].endswith("largest difference 0")


# rules that do not run on tensors


@pytest.fixture
def op(request):
    """A user's operation, twice the sum of all elements, with the rule that a test asks for."""

    @tg.primitive(method=False)
    def twice(x):
        """Twice the argument, turned around."""
        return 2 * x[::-1]

    twice.vjp("x")(request.param)
    yield twice
    del tg.engine.primitive.PRIMITIVES["twice"]


def in_c(g, out, x):
    """Writes in place, which tensors refuse."""
    result = np.empty(x.shape)
    result[...] = g[::-1]
    result *= 2
    return result


def detached(g, out, x):
    """Loses the tensor without a word."""
    return 2 * np.array(getattr(g, "data", g))[::-1]


def quadratic(g, out, x):
    """Is not linear in g, which no derivative is."""
    return 2 * g[::-1] * np.abs(g[::-1])


@pytest.mark.parametrize("op", [in_c, detached], indirect=True)
def test_where_a_rule_does_not_run_on_tensors_unit_cotangents_do(op):
    x = leaf([1.0, 2.0, 3.0])
    recording = Recording((op(x) * np.array([0.5, 0.25, -1.0])).sum())
    step = recording.backward[-1]
    found = sum_of(step, step.contributions[0], (0,))
    np.testing.assert_array_equal(found.factors, [2.0])
    np.testing.assert_array_equal(found.cotangents, [-1.0])
    assert found.places == ["g[2]"]
    assert found.agrees


@pytest.mark.parametrize("op", [quadratic], indirect=True)
def test_a_rule_that_is_not_linear_is_found_out(op):
    x = leaf([1.0, 2.0, 3.0])
    recording = Recording((op(x) * np.array([0.5, 0.25, -3.0])).sum())
    text = why(recording, value_or_gradient("x", recording), (0,))
    assert "NOT what the sums give: a rule is not linear in g" in text


@pytest.mark.parametrize("op", [in_c], indirect=True)
def test_unit_cotangents_are_refused_where_they_would_be_too_many(op):
    x = leaf(np.ones(MOST_UNITS + 1))
    recording = Recording(op(x).sum())
    with pytest.raises(tg.errors.ArgumentError, match="too many to try one by one"):
        why(recording, value_or_gradient("x", recording), (0,))


def test_why_runs_inside_no_grad():
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    with tg.no_grad():
        recording = Recording(loss)
        text = why(recording, value_or_gradient("x", recording), (0,))
    assert text.endswith("g_x[0] = 1 + 1 = 2, as recorded")
