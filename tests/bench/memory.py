"""Peak memory of training steps, above what a process holds once the framework has taken a small step."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frameworks import build
from workloads import UnavailableError

STEPS = 10
SMALL, LARGE = "moons", "wide"


def memory_of(framework: str) -> Iterator[dict[str, Any]]:
    """What the process holds after small steps, and how much more at most while it makes ready and takes large ones.

    Small steps come first because PyTorch and JAX load much of themselves with the first: that is no memory of a step.
    """
    run = build(framework, SMALL)
    for _ in range(STEPS):
        run()
    held = forget_peak() or peak()
    run = build(framework, LARGE)
    losses = [run() for _ in range(STEPS)]
    yield {"held": held, "more": peak() - held, "checks": [losses[0], losses[-1]]}


def forget_peak() -> int:
    """Count the peak from here on; the bytes that are held now, or 0 where the system cannot do that (Linux can)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return 0
    return peak()


def peak() -> int:
    """The most bytes that this process has held in memory."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    if importlib.util.find_spec("resource") is None:  # Windows
        raise UnavailableError("not measured: this system does not tell the peak")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
