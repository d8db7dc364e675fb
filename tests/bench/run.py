"""Measure one training step in each framework, processes in turn, and tell its cost as a multiple of the step by hand.

`make bench` runs it; ARGS="--workloads moons --rounds 5" passes options. Only ratios carry over to another machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from step import FRAMEWORKS
from workloads import WORKLOADS

HERE = Path(__file__).resolve().parent
YARDSTICK = "NumPy by hand"
TOLERANCE = 1e-4  # between losses of different frameworks, which add up float32 in different orders


def main() -> None:
    """Print the machine, then a table for each workload."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each framework, workload and round")
    parser.add_argument("--rounds", type=int, default=3, help="how often every framework has its turn")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")

    print(machine())
    for workload in arguments.workloads:
        results = measure(workload, arguments.seconds, arguments.rounds)
        print(f"\n{table(workload, results)}", flush=True)


def measure(workload: str, seconds: float, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What each framework measured in every round; stops at the first loss that differs."""
    results: dict[str, list[dict[str, Any]]] = {framework: [] for framework in FRAMEWORKS}
    for _ in range(rounds):
        for framework in FRAMEWORKS:
            result = in_a_process(framework, workload, seconds)
            results[framework].append(result)
            require_equal_losses(result, results[YARDSTICK][0])
    return results


def in_a_process(framework: str, workload: str, seconds: float) -> dict[str, Any]:
    """The result of `step.py`, on the package that lies beside these tests."""
    path = os.pathsep.join([str(HERE.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(HERE / "step.py"), framework, workload, "--seconds", str(seconds)]
    process = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
    )
    if process.returncode:
        sys.exit(f"{framework} on {workload} failed:\n{process.stderr}")
    result: dict[str, Any] = json.loads(process.stdout)
    return result


def require_equal_losses(result: dict[str, Any], expected: dict[str, Any]) -> None:
    """Stop unless two frameworks computed the same losses: times of different computations are no comparison."""
    if not np.allclose(result["losses"], expected["losses"], rtol=0, atol=TOLERANCE):
        names = f"{result['framework']} and {expected['framework']}"
        sys.exit(f"{names} differ on {result['workload']}: losses {result['losses']} and {expected['losses']}")


def table(workload: str, results: dict[str, list[dict[str, Any]]]) -> str:
    """The best minimum and the median of medians of each framework, and both as multiples of the yardstick's."""
    sizes, batch = WORKLOADS[workload]
    title = f"{workload}: {'-'.join(map(str, sizes))}, batch {batch}"
    lines = [title, f"{'':<20}{'minimum us':>12}{'ratio':>8}{'median us':>12}{'ratio':>8}"]
    best = {name: min(result["minimum"] for result in rounds) for name, rounds in results.items()}
    usual = {name: statistics.median(result["median"] for result in rounds) for name, rounds in results.items()}
    for name in results:
        ratios = best[name] / best[YARDSTICK], usual[name] / usual[YARDSTICK]
        lines.append(f"{name:<20}{best[name]:>12.1f}{ratios[0]:>8.2f}{usual[name]:>12.1f}{ratios[1]:>8.2f}")
    return "\n".join(lines)


def machine() -> str:
    """What the numbers depend on: processor, cores, Python, NumPy and its BLAS, and how many threads that uses."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    parts = [
        f"{processor()}, {os.cpu_count()} cores",
        f"Python {platform.python_version()}",
        f"NumPy {np.__version__} with {blas['name']} {blas['version']}{threads()}",
    ]
    return "\n".join(parts)


def processor() -> str:
    """The processor's name; Python itself knows it on some systems only."""
    try:
        rows = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        rows = []
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def threads() -> str:
    """How many threads the BLAS uses, where threadpoolctl is installed."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return ""
    import threadpoolctl

    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return f" on {max(pools)} threads" if pools else ""


if __name__ == "__main__":
    main()
