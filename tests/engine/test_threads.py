"""Several threads that record and differentiate at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import tinygrad_sm as tg
from tinygrad_sm import Tensor


def work(seed):
    """A gradient of some forty operations, also of second order, and updates in place."""
    rng = np.random.default_rng(seed)
    w = Tensor(rng.standard_normal((4, 3)), requires_grad=True)
    x = Tensor(rng.standard_normal((5, 4)))
    for _ in range(5):
        h = x @ w
        for _ in range(3):
            h = tg.tanh(h) + 0.5 * h
        loss = tg.cross_entropy(h, np.arange(5) % 3)
        slope = tg.gradients(loss, w, create_graph=True)
        w.grad = None
        (loss + (slope * slope).sum()).backward()
        with tg.no_grad():
            w -= 0.1 * w.grad
    return w.data


def test_threads_get_the_same_numbers_as_one_after_the_other():
    expected = [work(seed) for seed in range(8)]
    barrier = threading.Barrier(4)

    def started_together(seed):
        if seed < 4:
            barrier.wait(10)
        return work(seed)

    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(started_together, range(8)))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_threads_may_share_a_leaf_in_their_own_graphs():
    w = Tensor([1.0, 2.0], requires_grad=True)

    def slope(factor):
        return tg.gradients((w * w * factor).sum(), w).data.tolist()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(slope, range(50))) == [[2.0 * k, 4.0 * k] for k in range(50)]


def test_graph_made_in_one_thread_may_be_differentiated_in_another():
    w = Tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join()
    assert w.grad.tolist() == [2, 4]
