"""Compiled modules on the disk, so that a second process need not compile again.

A module's file is named after what it holds, after this package's own functions that it uses, and after the versions of
the compilers; Numba keeps the machine code beside it. What is damaged or somebody else's is replaced, and where nothing
can be written, nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinygrad_sm.errors import FileError
from tinygrad_sm.files import write_text

VARIABLE = "TINYGRAD_SM_CACHE"
MOST = 200  # modules that are kept; the oldest go first


def folder() -> Path:
    """Where compiled modules are kept: what the environment variable says, or the system's place for such things."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "tinygrad_sm" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "tinygrad_sm"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "tinygrad_sm"


def load(source: str, depends: str, finish: Callable[[types.ModuleType], Any]) -> types.ModuleType:
    """The module with this source, with its functions compiled by `finish`, from the disk if it is there.

    Args: depends: whatever else the compiled code depends on; finish: compiles a module's functions, which may mean to
    fetch them.
    """
    try:
        path = _written(source, depends)
    except (FileError, OSError, RuntimeError):  # RuntimeError: there is no home
        return _unkept(source, finish)
    for _ in range(2):
        try:
            module = _module(path)
            finish(module)
        except Exception:  # noqa: BLE001 (whatever a damaged file leads to)
            _forget(path)
            with contextlib.suppress(FileError, OSError):
                write_text(path, source)
            continue
        return module
    return _unkept(source, finish)


def _written(source: str, depends: str) -> Path:
    """The file with a source, which is written unless it is there already."""
    name = hashlib.sha256(f"{depends}\n{source}".encode()).hexdigest()[:32]
    where = folder()
    path = where / f"m{name}.py"
    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (path.is_file() and path.read_bytes() == source.encode()):
        _forget(path)
        write_text(path, source)
        _prune(where)
    return path


def _module(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"tinygrad_sm_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where what Numba kept looks for it
    spec.loader.exec_module(module)
    return module


def _unkept(source: str, finish: Callable[[types.ModuleType], Any]) -> types.ModuleType:
    """A module that is in no file."""
    module = types.ModuleType("tinygrad_sm_compiled")
    exec(compile(source.replace("cache=True", "cache=False"), "<compiled>", "exec"), module.__dict__)
    finish(module)
    return module


def _forget(path: Path) -> None:
    """Remove a module and the machine code beside it."""
    with contextlib.suppress(OSError):
        path.unlink()
    for each in path.parent.glob(f"__pycache__/{path.stem}.*"):
        with contextlib.suppress(OSError):
            each.unlink()


def _prune(where: Path) -> None:
    """Keep the modules that were made last."""
    modules = sorted(where.glob("m*.py"), key=_made)
    for path in modules[:-MOST]:
        _forget(path)


def _made(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


__all__ = ["VARIABLE", "folder", "load"]
