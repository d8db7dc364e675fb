"""`no_grad`: nested, as a decorator, under exceptions, in threads and tasks."""

import asyncio
import threading

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor


@pytest.fixture
def x():
    return Tensor([1.0, 2.0], requires_grad=True)


def records(x):
    return (x * 2).requires_grad


def test_nothing_is_recorded_inside_and_everything_outside(x):
    assert records(x)
    with tg.no_grad():
        assert not records(x)
        assert len((x * 2).tape()) == 0
        assert x.requires_grad
    assert records(x)


def test_nesting(x):
    with tg.no_grad():
        with tg.no_grad():
            assert not records(x)
        assert not records(x)
    assert records(x)


def test_decorator(x):
    @tg.no_grad()
    def evaluate(x, *, factor):
        """Docstring."""
        return x * factor

    assert not evaluate(x, factor=2).requires_grad
    assert records(x)
    assert not evaluate(x, factor=3).requires_grad  # a second call too
    assert evaluate.__name__ == "evaluate"
    assert evaluate.__doc__ == "Docstring."


def test_recursive_decorator(x):
    @tg.no_grad()
    def halve(x, depth):
        return halve(x, depth - 1) / 2 if depth else x * 1

    assert not halve(x, 5).requires_grad
    assert records(x)


def test_exception_switches_recording_on_again(x):
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        1 / 0  # noqa: B018
    assert records(x)


def test_leaf_made_inside_may_learn_outside():
    with tg.no_grad():
        x = Tensor(2.0, requires_grad=True)
    (x * x).backward()
    assert x.grad == 4


def test_part_of_a_graph_without_recording_is_a_constant(x):
    with tg.no_grad():
        scale = (x * x).sum()
    (x / scale).sum().backward()
    np.testing.assert_allclose(x.grad, [0.2, 0.2])


def test_backward_inside_works_on_what_was_recorded_outside(x):
    y = (x * x).sum()
    with tg.no_grad():
        y.backward()
    assert x.grad.tolist() == [2, 4]


def test_other_threads_record(x):
    seen = []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(records(x)))
        thread.start()
        thread.join()
        assert not records(x)
    assert seen == [True]


def test_thread_without_recording_does_not_silence_the_others(x):
    inside, done, seen = threading.Event(), threading.Event(), []

    def silent():
        with tg.no_grad():
            seen.append(records(x))
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=silent)
    thread.start()
    inside.wait(10)
    assert records(x)
    done.set()
    thread.join()
    assert seen == [False]


def test_tasks_do_not_disturb_each_other(x):
    async def silent():
        with tg.no_grad():
            await asyncio.sleep(0)
            return records(x)

    async def loud():
        seen = [records(x)]
        await asyncio.sleep(0)
        return [*seen, records(x)]

    async def both():
        return await asyncio.gather(silent(), loud(), silent())

    assert asyncio.run(both()) == [False, [True, True], False]


@pytest.mark.parametrize("misuse", [lambda: tg.no_grad(len), lambda: tg.no_grad(False)])
def test_forgotten_parentheses_are_an_error(misuse):
    with pytest.raises(TypeError, match="no_grad"):
        misuse()
