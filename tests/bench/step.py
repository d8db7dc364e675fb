"""Time one framework on one workload, alone in its process: several in one disturb each other's threads and memory.

`python tests/bench/step.py FRAMEWORK WORKLOAD` prints one line of JSON; `run.py` reads it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time

import numpy as np
from workloads import WORKLOADS, Step, problem

# Module and function of each. A module is imported only in the process that measures it.
FRAMEWORKS = {
    "NumPy by hand": ("by_hand", "plain"),
    "NumPy preallocated": ("by_hand", "preallocated"),
    "tinygrad_sm": ("ours", "eager"),
    "and debug imported": ("ours", "beside_debug"),
}


def build(framework: str, workload: str) -> Step:
    """The step of a framework, ready to be called."""
    module, function = FRAMEWORKS[framework]
    step: Step = getattr(importlib.import_module(module), function)(problem(workload))
    return step


def microseconds(step: Step, seconds: float) -> list[float]:
    """The times of single steps, as many as fit, and no fewer than twenty."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 20 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(1e6 * (time.perf_counter() - start))
    return times


def main() -> None:
    """Take ten steps for the losses, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to measure")
    arguments = parser.parse_args()

    step = build(arguments.framework, arguments.workload)
    losses = [step() for _ in range(10)]
    times = microseconds(step, arguments.seconds)
    result = {
        "framework": arguments.framework,
        "workload": arguments.workload,
        "minimum": round(min(times), 1),
        "median": round(float(np.median(times)), 1),
        "n": len(times),
        "losses": [losses[0], losses[9]],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
