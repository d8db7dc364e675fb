"""Measure every framework on every workload, one a process, in turn, as a multiple of NumPy written by hand.

`make bench` runs it; ARGS="--workloads moons --rounds 5" passes options. Only ratios carry over to another machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chart import draw
from frameworks import FRAMEWORKS, YARDSTICK, missing
from machine import busy, cores, machine
from report import markdown, plain
from results import Result, Row, disagreement
from workloads import WORKLOADS

HERE = Path(__file__).resolve().parent
CHOICES = [*WORKLOADS, "growth", "memory"]
# About a minute: no large arrays, and nothing that takes ten seconds to compile.
QUICK = ["moons", "digits", "mnist", "cross-entropy-128x10", "chain"]
SLOW = "torch-compile"
LIMIT = 120.0  # seconds that a process may take
GROWTH_LIMIT = 10.0  # compilers need hours for the longest chain
FAILED = "failed: "


def main() -> None:
    """Print the machine, then a table for each workload; write all of it after each."""
    arguments = options()
    results: list[Result] = []
    about = [*machine(), f"Every framework may use all {cores()} cores.", *filter(None, [busy()])]
    print("\n".join(about), flush=True)
    frameworks = [name for name in FRAMEWORKS if name in {YARDSTICK, *arguments.frameworks}]
    for name in list(frameworks):
        if reason := missing(FRAMEWORKS[name]):
            print(f"left out: {FRAMEWORKS[name].title}: {reason}")
            frameworks.remove(name)
    with tempfile.TemporaryDirectory() as cache:
        for workload in arguments.workloads:
            names = [name for name in frameworks if FRAMEWORKS[name].computes(workload)]
            results.append(measure(workload, names, arguments.seconds, arguments.rounds, cache))
            print(f"\n{plain(results[-1])}", flush=True)
            write(results, about, arguments.output)
    print(f"\nwritten to {arguments.output}")
    sys.exit(any(reason.startswith(FAILED) for result in results for reason in result.left_out.values()))


def options() -> argparse.Namespace:
    """What is asked for; ends with status 2 where that cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", choices=CHOICES, metavar="NAME", help=", ".join(CHOICES))
    parser.add_argument(
        "--frameworks",
        nargs="+",
        choices=FRAMEWORKS,
        metavar="NAME",
        help=f"besides {YARDSTICK}: {', '.join(FRAMEWORKS)}",
    )
    parser.add_argument("--seconds", type=float, help="for each framework, workload and round (0.3)")
    parser.add_argument("--rounds", type=int, help="how often every framework has its turn (3)")
    parser.add_argument("--quick", action="store_true", help="small workloads, in about a minute")
    parser.add_argument(
        "--output", type=Path, default=Path("bench-results"), help="folder for the tables and the chart"
    )
    arguments = parser.parse_args()
    quick = arguments.quick
    defaults = {
        "workloads": QUICK if quick else CHOICES,
        "frameworks": [name for name in FRAMEWORKS if not (quick and name == SLOW)],
        "seconds": 0.2 if quick else 0.3,
        "rounds": 1 if quick else 3,
    }
    for option, value in defaults.items():
        if getattr(arguments, option) is None:
            setattr(arguments, option, value)
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if not 0 < arguments.seconds < math.inf:
        parser.error("--seconds must be a positive number")
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--output: {error}")
    return arguments


def measure(workload: str, frameworks: Sequence[str], seconds: float, rounds: int, cache: str) -> Result:
    """What each framework measured in every round; it is out at the first failure or number that differs."""
    result = Result(workload, {}, {})
    for _ in range(rounds if result.timed else 1):
        for name in frameworks:
            if name in result.left_out:
                continue
            rows, reason = in_a_process(name, workload, seconds, cache)
            difference = "".join(
                disagreement(row["checks"], expected["checks"])
                for row, expected in zip(rows, result.rounds.get(YARDSTICK, rows), strict=False)
            )
            if difference or reason:
                result.left_out[name] = f"{FAILED}{difference}" if difference else reason
            if difference or (reason and result.timed):
                result.rounds.pop(name, None)
            elif rows:
                result.rounds.setdefault(name, []).extend(rows)
        if YARDSTICK not in result.rounds:
            sys.exit(f"{FRAMEWORKS[YARDSTICK].title} on {workload}: {result.left_out[YARDSTICK]}")
    return result


def in_a_process(framework: str, workload: str, seconds: float, cache: str) -> tuple[list[Row], str]:
    """What `step.py` prints, on the package that lies beside these tests, and why there is no more of it."""
    limit = (GROWTH_LIMIT if workload == "growth" else LIMIT) + seconds
    command = [sys.executable, str(HERE / "step.py"), framework, workload, "--seconds", str(seconds)]
    reason, printed = "", ""
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=limit, env=environment(cache)
        )
        printed = process.stdout
        if process.returncode:
            last = (process.stderr.strip() or f"status {process.returncode}").splitlines()[-1]
            reason = f"{FAILED}{last}"
    except subprocess.TimeoutExpired as error:
        reason = f"not within {limit:.0f} s"
        printed = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
    rows = [json.loads(line) for line in printed.splitlines()]
    if rows and "unavailable" in rows[-1]:
        reason = rows.pop()["unavailable"]
    return rows, reason


def environment(cache: str) -> dict[str, str]:
    """CPUs for everyone, and no compiled code of earlier runs: the first round shows what compiling takes."""
    path = os.pathsep.join([str(HERE.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    caches = dict.fromkeys(["TINYGRAD_SM_CACHE", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR"], cache)
    return {**os.environ, **caches, "PYTHONPATH": path, "DEV": "CPU", "JAX_PLATFORMS": "cpu"}


def write(results: Sequence[Result], about: Sequence[str], folder: Path) -> None:
    """The tables, the chart, and the numbers as they were measured."""
    (folder / "measured.md").write_text(markdown(results, about), encoding="utf-8")
    numbers = {"machine": about, "results": [result._asdict() for result in results]}
    (folder / "measured.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    draw(results, folder / "ratios.png")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; what was measured until then is written")
