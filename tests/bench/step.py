"""Measure one framework on one workload, alone in its process: several in one disturb each other's threads and memory.

`python tests/bench/step.py FRAMEWORK WORKLOAD` prints JSON, a line for each result; `run.py` reads it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from frameworks import FRAMEWORKS, build, load
from memory import memory_of
from workloads import GROWTH, WORKLOADS, UnavailableError, data

LEAST = 3  # calls that are timed at least, however long they take


def time_of(framework: str, workload: str, seconds: float) -> Iterator[dict[str, Any]]:
    """Times of a call, the first one apart: it compiles where there is something to compile."""
    raise_the_threshold()
    run = build(framework, workload)
    start = time.perf_counter()
    first = run()
    first_seconds = time.perf_counter() - start
    checks = evidence(workload, run, first)
    del first
    times = microseconds(run, seconds)
    yield {
        "checks": checks,
        "first seconds": round(first_seconds, 4),
        "minimum": round(min(times), 2),
        "median": round(float(np.median(times)), 2),
        "n": len(times),
    }


def raise_the_threshold() -> None:
    """Free a large array, as every program has that loaded its data; glibc then keeps what is freed for the next one.

    Before, it fetches memory for every array above 128 kB from the system anew, page by page: the step of mnist by hand
    takes 700 us instead of 380. Nothing happens elsewhere.
    """
    np.empty(30_000_000, np.uint8)


def evidence(workload: str, run: Callable[[], Any], first: Any) -> list[float]:
    """Numbers that agree where the same was computed.

    The first and the tenth loss of a training step; of a kernel the loss, the length of its gradient and the product
    of that with the logits, or with what normalised rows are multiplied by; the result and the slope of a chain.
    """
    function = WORKLOADS[workload].function
    if function in ("training", "convolution"):
        return [first, [run() for _ in range(9)][-1]]
    if function == "chain":
        return [float(value) for value in first]
    loss, gradient = first
    arrays = data(workload)
    others = arrays.others if function == "layer_norm" else arrays.logits
    slopes = np.asarray(getattr(gradient, "numpy", lambda: gradient)(), float)
    return [float(loss), float(np.linalg.norm(slopes)), float(np.vdot(slopes, others))]


def microseconds(run: Callable[[], Any], seconds: float) -> list[float]:
    """The times of single calls, as many as fit."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(1e6 * (time.perf_counter() - start))
    return times


def growing_chain(framework: str, seconds: float) -> Iterator[dict[str, Any]]:
    """The chain at every length, until one fails."""
    found = FRAMEWORKS[framework]
    chain = load(found).chain
    for count in GROWTH:
        run = chain(count, *found.arguments)
        value, slope = run()
        times = microseconds(run, seconds)
        yield {"operations": count, "checks": [float(value), float(slope)], "minimum": round(min(times), 2)}


def main() -> None:
    """Print what is asked for, or why it cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("workload", choices=[*WORKLOADS, "growth", "memory"])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to measure")
    arguments = parser.parse_args()
    measurement = {
        "growth": lambda: growing_chain(arguments.framework, arguments.seconds),
        "memory": lambda: memory_of(arguments.framework),
    }.get(arguments.workload, lambda: time_of(arguments.framework, arguments.workload, arguments.seconds))
    try:
        for result in measurement():
            print(json.dumps(result), flush=True)
    except UnavailableError as reason:
        print(json.dumps({"unavailable": str(reason)}))
    except RecursionError:
        print(json.dumps({"unavailable": "RecursionError"}))


if __name__ == "__main__":
    main()
