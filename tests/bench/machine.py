"""What the numbers depend on: processor and cores, how busy they are, and the versions of what is measured."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path

import numpy as np

PEERS = ("torch", "jax", "numba", "autograd", "mygrad", "micrograd", "tinygrad")


def machine() -> list[str]:
    """A few lines for a reader who compares with a machine of his own."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return [
        f"{processor()}, {cores()} cores, {platform.system()}",
        f"Python {platform.python_version()}, NumPy {np.__version__} with {blas['name']} {blas['version']}{threads()}",
        *([", ".join(versions())] if versions() else []),
    ]


def processor() -> str:
    """The processor's name; Python itself knows it on some systems only."""
    try:
        rows = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        rows = []
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """How many cores this process may use: what every framework is given."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def threads() -> str:
    """How many threads the BLAS uses, where threadpoolctl is installed."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return ""
    import threadpoolctl

    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return f" on {max(pools)} threads" if pools else ""


def versions() -> list[str]:
    """The peers that are installed, and what compiles."""
    return [f"{name} {importlib.metadata.version(name)}" for name in PEERS if importlib.util.find_spec(name)]


def busy() -> str:
    """A warning where other programs use the cores, which frameworks with threads of their own suffer from most."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f"Other programs use the cores (load {load:.1f}): trust the minima." if load > 0.3 else ""
