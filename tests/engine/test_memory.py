"""What a tape keeps alive, and for how long: with the garbage collector off, so that no cycle is forgiven."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor


@pytest.fixture(autouse=True)
def without_garbage_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(*shape):
    return Tensor(np.ones(shape), requires_grad=True)


def forward(x, w):
    h = tg.relu(x @ w + np.ones(2))
    joined = np.concatenate([h, h[:, ::-1] * 2], axis=1)
    return F.cross_entropy(joined, np.array([0, 1, 2]))


def add_in_vain(loss):
    with pytest.raises(tg.errors.ShapeError):
        np.ones(2) @ loss


USES = {
    "nothing": lambda loss, leaves: None,
    "backward": lambda loss, leaves: loss.backward(),
    "backward twice": lambda loss, leaves: (loss.backward(), loss.backward()),
    "retain_grads": lambda loss, leaves: loss.backward(retain_grads=True),
    "gradients": lambda loss, leaves: tg.gradients(loss, leaves),
    "second derivative": lambda loss, leaves: tg.gradients(
        sum((g * g).sum() for g in tg.gradients(loss, leaves, create_graph=True)), leaves
    ),
    "repr": lambda loss, leaves: (
        repr(loss.tape()),
        str(loss.tape()),
        repr(loss),
        [node.location.show() for node in loss.tape()],
    ),
    "error in a later op": lambda loss, leaves: add_in_vain(loss),
}


@pytest.mark.parametrize("use", USES)
def test_nothing_of_a_tape_is_alive_once_its_loss_is_gone(use):
    x, w = leaf(3, 4), leaf(4, 2)
    loss = forward(x, w)
    nodes = [weakref.ref(node) for node in loss.tape() if node.op]
    arrays = [weakref.ref(node.out) for node in loss.tape() if node.op]
    assert len(nodes) == len(arrays) > 5
    USES[use](loss, [x, w])
    del loss
    assert [ref() for ref in nodes if ref() is not None] == []
    assert [ref() for ref in arrays if ref() is not None] == []


def test_intermediate_arrays_live_as_long_as_the_tape_needs_them_and_no_longer():
    x = leaf(3)
    h = tg.exp(x)
    y = h * 2
    value = weakref.ref(h.data)
    del h
    assert value() is not None  # its rule multiplies with it
    y.sum().backward()
    del y
    assert value() is None


def test_tensor_does_not_stay_alive_because_its_node_does():
    x = leaf(3)
    h = x * 2
    y = h + 1
    tensor, node = weakref.ref(h), weakref.ref(y.tape()[1])
    del h
    assert tensor() is None
    assert node() is not None
    y.sum().backward(retain_grads=True)


def test_leaf_is_freed_although_its_tape_lives():
    x = leaf(3)
    y = x * 2
    tensor = weakref.ref(x)
    del x
    assert tensor() is None
    y.sum().backward()


def test_frames_are_not_kept():
    class Big:
        pass

    def make():
        big = Big()
        refs.append(weakref.ref(big))
        return tg.exp(leaf(2))

    refs = []
    y = make()
    assert refs[0]() is None
    assert y.tape()[-1].location.function.endswith("make")


def test_error_keeps_no_array_alive_by_itself():
    x = leaf(3)
    array = weakref.ref(x.data)
    try:
        x + np.ones(4)
    except tg.errors.ShapeError as error:
        caught = error.with_traceback(None)
        caught.__cause__ = caught.__context__ = None
    del x
    assert array() is None
    assert "(3,)" in str(caught)


def test_residual_of_cross_entropy_is_given_up_after_backward():
    x = leaf(3, 4)
    loss = F.cross_entropy(x, np.array([0, 1, 2]))
    node = loss.tape()[-1]
    assert node.residual is not None
    loss.backward()
    assert node.residual is None


def growth(step, steps):
    """How many objects and how many bytes more there are after some steps than before them."""
    for _ in range(10):
        step()
    tracemalloc.start()
    try:
        step()
        before = len(gc.get_objects()), tracemalloc.get_traced_memory()[0]
        for _ in range(steps):
            step()
        after = len(gc.get_objects()), tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return after[0] - before[0], after[1] - before[1]


STEPS = 200
ROWS = 500  # so that an array that is left behind in every step weighs more than Python's own lists of free objects


@pytest.mark.parametrize("use", ["backward", "retain_grads", "gradients", "second derivative"])
def test_memory_does_not_grow_from_step_to_step(use):
    x, w, y = leaf(ROWS, 4), leaf(4, 2), np.zeros(ROWS, int)

    def step():
        x.grad = w.grad = None
        h = tg.relu(x @ w + np.ones(2))
        USES[use](F.cross_entropy(np.concatenate([h, h[:, ::-1] * 2], axis=1), y), [x, w])

    objects, memory = growth(step, STEPS)
    assert objects < STEPS // 10
    assert memory < STEPS * ROWS


def test_memory_does_not_grow_with_updates_in_place():
    w = leaf(ROWS)

    def step():
        (w * w).sum().backward()
        with tg.no_grad():
            w[...] = w - 0.01 * w.grad
        w.data = w.data.copy()
        w.grad = None

    objects, memory = growth(step, 5 * STEPS)
    assert objects < STEPS // 10
    assert memory < STEPS * ROWS


def test_growth_is_noticed():
    held = []
    objects, memory = growth(lambda: held.append([leaf(ROWS) * 2]), STEPS)
    assert objects > STEPS
    assert memory > STEPS * ROWS
