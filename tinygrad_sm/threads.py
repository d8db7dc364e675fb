"""Large arrays in blocks of rows: each block stays in the cache from its first read to its last write.

NumPy's loops release Python's lock while they run, so several threads work on blocks at the same time. Their size does
not depend on the number of threads, and no block knows of another: results are the same to the last bit, however many
threads there are and whichever of them takes which block.
"""

from __future__ import annotations

import contextvars
import functools
import operator
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np

from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.operand import Operand

Kernel = Callable[[int, int], object]  # called with the first row of a block and the one after its last

# Measured for the cross-entropy of (64, 50257) with its gradient, on two cores with 2 MiB of L2 each: blocks of 512 KiB
# took 3.9 ms, 1 MiB 2.9 and 2 MiB 3.0: between the calls of small ones threads wait for Python's lock.
BLOCK = 1 << 18  # elements, 1 MiB in 32 bits
LARGE = BLOCK  # elements: what is larger is worked on in blocks, and no block is
MOST = 8  # Threads by default: a block holds Python's lock for a twelfth of its time, and more would queue for it.

_threads: int | None = None  # None until it is asked for or set
_started = 0  # workers that are running
_tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
_starting = threading.Lock()


def set_num_threads(n: int) -> None:
    """Let large operations use up to n threads, the calling one included; 1 keeps to that one.

    Results do not depend on it; matrix products have threads of their own, those of NumPy's BLAS. Raises ArgumentError
    unless n is a whole number of at least 1.

    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    """
    global _threads
    try:
        wanted = 0 if isinstance(n, bool) else operator.index(n)
    except TypeError:
        wanted = 0
    if wanted < 1:
        remedy = "pass 1 for the calling thread alone, or the number of cores to use"
        raise ArgumentError(f"set_num_threads({n!r}): not a number of threads", remedy=remedy)
    _threads = wanted


def get_num_threads() -> int:
    """How many threads large operations use at most; at first one for each core, up to eight.

    Cores are those that the process may run on, where the system tells.
    """
    global _threads
    if _threads is None:
        allowed = getattr(os, "sched_getaffinity", None)
        _threads = min((len(allowed(0)) if allowed else os.cpu_count()) or 1, MOST)
    return _threads


def splits(array: Any) -> bool:
    """Whether an array is so large that work on its rows goes block by block.

    What stands in for an array, such as a Tensor, is left whole unless its attribute `whole` is false.
    """
    return array.size > LARGE and len(array) > 1 and not getattr(array, "whole", isinstance(array, Operand))


def one_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of arrays be taken as one of NumPy's by what stands in for an array."""

    @functools.wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        for arg in args:
            if isinstance(arg, Operand):
                return arg.__array_function__(called, (type(arg),), args, options)
        return function(*args, **options)

    return called


def run_rows(kernel: Kernel, array: Any) -> None:
    """Call kernel(lo, hi) for all rows of an array, in blocks of `BLOCK` elements."""
    length = array.size // len(array)
    # NumPy gathers rows shorter than its buffer in there, and with them copies of what is broadcast: without that
    # `x - top` takes a third of the time.
    before = np.setbufsize(256) if 400 <= length <= 8192 else np.getbufsize()
    try:
        run_blocks(kernel, len(array), max(1, BLOCK // length))
    finally:
        np.setbufsize(before)


def run_blocks(kernel: Kernel, count: int, block: int) -> None:
    """Call kernel(lo, hi) for rows 0 to count in blocks of so many, on up to `get_num_threads()` threads.

    Workers run in copies of the caller's context, with its `np.errstate`. If kernels raise, no further block is begun,
    and when none runs any more the error of the first such block is raised. A kernel may call this function.
    """
    helpers = min(get_num_threads(), -(-count // block)) - 1
    work = Work(kernel, count, block)
    try:
        if helpers > 0:
            _invite(work, helpers)
        work.take_blocks()
    finally:
        work.finish()
    if work.failures:
        try:
            raise min(work.failures, key=operator.itemgetter(0))[1]
        finally:
            work.failures.clear()  # which lead to this frame and back


class Work:
    """The blocks of one call: the caller takes one after another, and so do the workers that come in time."""

    def __init__(self, kernel: Kernel, count: int, block: int) -> None:
        self.kernel, self.count, self.block = kernel, count, block
        self.next = 0  # the first row that nobody has taken
        self.helping = 0  # workers that have taken a block
        self.failures: list[tuple[int, BaseException]] = []
        self.changed = threading.Condition()

    def take_blocks(self) -> None:
        """Run the kernel until there is no block left."""
        while True:
            with self.changed:
                lo = self.next
                if lo >= self.count:
                    return
                self.next = hi = min(lo + self.block, self.count)
            try:
                self.kernel(lo, hi)
            except BaseException as error:  # noqa: BLE001  # whatever it is, the caller raises it
                with self.changed:
                    self.failures.append((lo if isinstance(error, Exception) else -1, error))
                    self.next = self.count

    def help(self) -> None:
        """What a worker does, unless it comes too late."""
        with self.changed:
            if self.next >= self.count:
                return
            self.helping += 1
        self.take_blocks()
        with self.changed:
            self.helping -= 1
            self.changed.notify_all()

    def finish(self) -> None:
        """Leave no block to take, and wait for those that are being worked on."""
        with self.changed:
            self.next = self.count
            while self.helping:
                self.changed.wait()
        del self.kernel  # and with it the arrays: a worker that comes too late may still hold this


def _invite(work: Work, helpers: int) -> None:
    """Ask workers to help, and start those that are missing."""
    global _started, _threads
    with _starting:
        while _started < helpers:
            try:
                threading.Thread(target=_serve, args=(_tasks,), name="tinygrad_sm", daemon=True).start()
            except RuntimeError:  # there are no threads, as in Pyodide, or no more of them
                _threads = _started + 1
                break
            _started += 1
    for _ in range(min(helpers, _started)):
        _tasks.put(functools.partial(contextvars.copy_context().run, work.help))


def _serve(tasks: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        tasks.get()()


def _forget_workers() -> None:
    """In a forked process: they were left behind."""
    global _started, _tasks, _starting
    _started, _tasks, _starting = 0, SimpleQueue(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
