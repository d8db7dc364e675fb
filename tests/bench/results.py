"""What was measured on one workload, and the numbers that are told of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from frameworks import FRAMEWORKS, YARDSTICK
from workloads import WORKLOADS

TOLERANCE = 2e-4  # between what different frameworks compute, which add up float32 in different orders

Row = dict[str, Any]


class Result(NamedTuple):
    """What the processes of each framework printed, round by round, and why others are not among them."""

    workload: str
    rounds: dict[str, list[Row]]
    left_out: dict[str, str]

    @property
    def title(self) -> str:
        """The workload as a person calls it."""
        others = {"growth": "chain as it grows", "memory": "peak memory of ten steps of wide"}
        return others.get(self.workload) or WORKLOADS[self.workload].title

    @property
    def timed(self) -> bool:
        """Whether times of single calls were taken; the growing chain and the memory are told otherwise."""
        return self.workload in WORKLOADS

    def minimum(self, framework: str) -> float:
        """The shortest call of all rounds, in microseconds."""
        return min(row["minimum"] for row in self.rounds[framework])

    def median(self, framework: str) -> float:
        """The median of the medians of all rounds, in microseconds."""
        return statistics.median(row["median"] for row in self.rounds[framework])

    def ratio(self, framework: str) -> float:
        """How many times as long as the yardstick the framework takes at best."""
        return self.minimum(framework) / self.minimum(YARDSTICK)

    def first_call(self, framework: str) -> float | None:
        """Seconds of the first call in the first round, where there is something to compile."""
        return self.rounds[framework][0]["first seconds"] if FRAMEWORKS[framework].compiles else None


def everywhere(results: Sequence[Result]) -> list[str]:
    """The frameworks that stand in one picture of all workloads: not those that compute a few only."""
    return [name for name in FRAMEWORKS if not FRAMEWORKS[name].only and any(name in r.rounds for r in results)]


def disagreement(checks: list[float], expected: list[float]) -> str:
    """Empty if two frameworks computed the same: times of different computations are no comparison."""
    if np.allclose(checks, expected, rtol=TOLERANCE, atol=0):
        return ""
    return f"it computes {checks} instead of {expected}"
