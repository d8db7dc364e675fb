"""Work in blocks of rows on several threads: every row once, in the caller's context, whatever goes wrong and when."""

import contextlib
import contextvars
import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import threads
from tinygrad_sm.threads import run_blocks, run_rows, splits


@pytest.fixture(autouse=True)
def _as_many_threads_afterwards():
    before = tg.get_num_threads()
    yield
    tg.set_num_threads(before)


def blocks_of(count, block):
    """What the kernel is called with, in order."""
    found = []
    run_blocks(lambda lo, hi: found.append((lo, hi)), count, block)
    return sorted(found)


def busy():
    """Half a millisecond of work that lets others have the lock: time for them to take a block."""
    time.sleep(0.0005)


# The number of threads.


def test_at_first_there_is_a_thread_for_each_core_and_not_too_many():
    code = (
        "import threading, tinygrad_sm as tg, numpy as np\n"
        "assert threading.active_count() == 1\n"
        "n = tg.get_num_threads()\n"
        "tg.softmax(np.zeros((2, 10)))\n"
        "assert threading.active_count() == 1\n"
        "print(n)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 <= int(found.stdout) <= min(os.cpu_count(), threads.MOST)


@pytest.mark.parametrize("n", [1, 2, 7, np.int64(3)])
def test_the_number_of_threads_is_what_was_set(n):
    tg.set_num_threads(n)
    assert tg.get_num_threads() == n
    assert type(tg.get_num_threads()) is int


@pytest.mark.parametrize("n", [0, -1, 1.0, 2.5, "2", None, True, np.array([1, 2]), float("nan")])
def test_what_is_no_number_of_threads_is_refused(n):
    before = tg.get_num_threads()
    with pytest.raises(tg.errors.ArgumentError, match="set_num_threads") as caught:
        tg.set_num_threads(n)
    assert "pass 1 for the calling thread alone" in caught.value.remedy
    assert tg.get_num_threads() == before


def test_an_array_splits_if_it_is_large_and_has_rows():
    large = threads.LARGE + 2
    assert splits(np.empty(large, np.int8))
    assert splits(np.empty((2, large // 2), np.int8))
    assert not splits(np.empty(threads.LARGE, np.int8))
    assert not splits(np.empty((1, large), np.int8))
    assert not splits(np.empty((0, large)))
    assert not splits(np.array(1.0))
    assert not splits(tg.Tensor(np.empty(large, np.int8)))


def test_no_block_is_split_again():
    assert threads.BLOCK <= threads.LARGE


# Blocks.


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize(
    ("count", "block", "expected"),
    [
        (0, 3, []),
        (1, 3, [(0, 1)]),
        (3, 3, [(0, 3)]),
        (4, 3, [(0, 3), (3, 4)]),
        (6, 1, [(i, i + 1) for i in range(6)]),
        (100, 7, [(i, min(i + 7, 100)) for i in range(0, 100, 7)]),
    ],
)
def test_every_row_is_worked_on_once_in_blocks_of_the_same_size(n, count, block, expected):
    tg.set_num_threads(n)
    assert blocks_of(count, block) == expected


def test_blocks_of_an_array_have_the_same_number_of_elements():
    for shape, dtype in (((4096, 1000), np.float32), ((4096, 1000), np.float64), ((10**6,), np.float32)):
        array = np.empty(shape, dtype)
        found = []
        run_rows(lambda lo, hi, found=found: found.append((lo, hi)), array)
        assert sorted(found) == [(lo, min(lo + found[0][1], len(array))) for lo in range(0, len(array), found[0][1])]
        assert array[: found[0][1]].size <= threads.BLOCK < array[: found[0][1] + 1].size
    assert blocks_of(3, 1) == [(0, 1), (1, 2), (2, 3)]


def test_a_row_longer_than_a_block_is_a_block():
    array = np.empty((3, threads.BLOCK), np.float32)
    found = []
    run_rows(lambda lo, hi: found.append((lo, hi)), array)
    assert sorted(found) == [(0, 1), (1, 2), (2, 3)]


def test_workers_take_part():
    tg.set_num_threads(3)
    seen = set()

    def kernel(lo, hi):
        seen.add(threading.current_thread())
        busy()

    run_blocks(kernel, 200, 1)
    assert threading.current_thread() in seen
    assert 2 <= len(seen) <= 3


def test_one_thread_is_the_calling_one():
    tg.set_num_threads(1)
    seen = []
    run_blocks(lambda lo, hi: seen.append((threading.get_ident(), lo)), 10, 3)
    assert seen == [(threading.get_ident(), lo) for lo in (0, 3, 6, 9)]


def test_no_more_threads_take_part_than_are_allowed_now():
    tg.set_num_threads(4)
    run_blocks(lambda lo, hi: busy(), 100, 1)
    tg.set_num_threads(2)
    seen = set()
    run_blocks(lambda lo, hi: (seen.add(threading.get_ident()), busy()), 100, 1)
    assert len(seen) <= 2


def test_where_no_thread_can_be_started_the_caller_does_it_all(monkeypatch):
    def refused(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    monkeypatch.setattr(threads, "_started", 0)
    tg.set_num_threads(4)
    assert blocks_of(10, 3) == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert tg.get_num_threads() == 1


# The caller's context.


def test_workers_see_the_callers_context():
    variable = contextvars.ContextVar("variable", default="nothing")
    variable.set("the caller's")
    tg.set_num_threads(3)
    seen = set()

    def kernel(lo, hi):
        seen.add((threading.get_ident(), variable.get()))
        variable.set("a worker's" if threading.current_thread() is not threading.main_thread() else "the caller's")
        busy()

    run_blocks(kernel, 100, 1)
    assert "the caller's" in {value for _, value in seen}
    assert "nothing" not in {value for _, value in seen}
    assert variable.get() == "the caller's"


def test_numpys_handling_of_errors_is_that_of_the_caller():
    tg.set_num_threads(3)
    seen, calls = [], []

    def kernel(lo, hi):
        seen.append(np.geterr()["divide"])
        np.ones(1) / 0
        busy()

    with np.errstate(divide="call", call=lambda kind, flag: calls.append(kind)):
        run_blocks(kernel, 50, 1)
    assert seen == ["call"] * 50
    assert calls == ["divide by zero"] * 50
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        run_blocks(kernel, 50, 1)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        run_blocks(kernel, 50, 1)
    with np.errstate(divide="ignore"):
        run_blocks(kernel, 50, 1)


def test_numpys_buffer_is_as_before():
    for shape in ((1000, 1000), (1000, 3)):
        run_rows(lambda lo, hi: None, np.empty(shape))
        assert np.getbufsize() == 8192

    def failing(lo, hi):
        raise KeyError

    with pytest.raises(KeyError):
        run_rows(failing, np.empty((1000, 1000)))
    assert np.getbufsize() == 8192


# What goes wrong.


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_error_of_the_first_block_that_fails_is_raised(n):
    tg.set_num_threads(n)
    for _ in range(20):
        begun = []

        def kernel(lo, hi, begun=begun):
            begun.append(lo)
            busy()
            if lo >= 7:
                raise LookupError(lo)

        with pytest.raises(LookupError) as caught:
            run_blocks(kernel, 1000, 1)
        assert caught.value.args == (7,)
        assert len(begun) <= 8 + 2 * n
        assert any(frame.name == "kernel" for frame in caught.traceback)


def test_no_kernel_runs_any_more_when_the_error_arrives():
    tg.set_num_threads(3)
    running = []

    def kernel(lo, hi):
        running.append(lo)
        if lo == 0:
            raise LookupError
        time.sleep(0.01)
        running.remove(lo)

    with pytest.raises(LookupError):
        run_blocks(kernel, 100, 1)
    assert running == [0]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_goes_before_errors_and_the_workers_live_on(kind):
    tg.set_num_threads(3)
    calling = threading.get_ident()

    def kernel(lo, hi):
        busy()
        if lo > 10 and threading.get_ident() == calling:
            raise kind

    with pytest.raises(kind):
        run_blocks(kernel, 1000, 1)

    def everywhere(lo, hi):
        busy()
        raise kind

    with pytest.raises(kind):
        run_blocks(everywhere, 1000, 1)
    test_workers_take_part()


def test_an_error_keeps_nothing_alive():
    tg.set_num_threads(3)

    class Held:
        pass

    held = Held()
    known = weakref.ref(held)

    def kernel(lo, hi, held=held):
        busy()
        raise LookupError

    with contextlib.suppress(LookupError):
        run_blocks(kernel, 100, 1)
    del kernel, held
    assert known() is None


def test_a_worker_that_comes_too_late_finds_nothing_to_do_and_keeps_nothing_alive():
    held = np.empty(1000)
    known = weakref.ref(held)
    work = threads.Work(lambda lo, hi, held=held: held[lo:hi].fill(0), 1000, 500)
    work.take_blocks()
    work.finish()
    assert not held.any()
    del held
    assert known() is None
    work.help()
    assert not work.helping


# Several callers.


def test_a_kernel_may_work_in_blocks_itself():
    tg.set_num_threads(3)
    counts = np.zeros((20, 30), int)

    def kernel(lo, hi):
        def inner(left, right):
            counts[lo:hi, left:right] += 1
            busy()

        run_blocks(inner, 30, 4)

    for _ in range(3):
        run_blocks(kernel, 20, 3)
    assert (counts == 3).all()


def test_threads_of_the_users_work_in_blocks_at_the_same_time():
    tg.set_num_threads(3)
    x = np.random.default_rng(0).standard_normal((8, 100, 50))
    expected = [np.exp(each).sum() for each in x]

    def work(i):
        out = np.empty_like(x[i])

        def kernel(lo, hi):
            np.exp(x[i, lo:hi], out=out[lo:hi])

        for _ in range(50):
            run_blocks(kernel, 100, 10)
        return out.sum()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8), timeout=60)) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_workers_of_its_own():
    tg.set_num_threads(3)
    test_workers_take_part()
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            test_workers_take_part()
            code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    test_workers_take_part()


def test_python_ends_while_workers_wait():
    code = (
        "import threading, time, tinygrad_sm as tg\n"
        "from tinygrad_sm.threads import run_blocks\n"
        "tg.set_num_threads(4)\n"
        "run_blocks(lambda lo, hi: time.sleep(0.001), 100, 1)\n"
        "assert threading.active_count() == 4, threading.enumerate()\n"
        "print('done')"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (found.stdout, found.stderr) == ("done\n", "")


def test_a_signal_reaches_a_caller_whose_workers_are_at_work():
    code = (
        "import os, signal, threading, time, tinygrad_sm as tg\n"
        "from tinygrad_sm.threads import run_blocks\n"
        "tg.set_num_threads(2)\n"
        "threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    run_blocks(lambda lo, hi: time.sleep(0.01), 10**6, 1)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    if sys.platform == "win32":
        pytest.skip("no signals between processes")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (found.stdout, found.stderr) == ("interrupted\n", "")
