"""`.npz` archives that say what they are.

Nothing here pickles: an archive holds plain arrays and one JSON header, which any NumPy can read. Read
`checkpoint.py` and `model_file.py` next for what is kept in them.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tinygrad_sm.errors import ArgumentError, FileError
from tinygrad_sm.files import PathLike, replacing

Arrays: TypeAlias = "dict[str, npt.NDArray[Any]]"

VERSION = 1  # raised whenever a file of the new kind would be misunderstood by the old code
ZIP = b"PK\x03\x04"
# What zipfile and NumPy raise for bytes that are not what they should be; RuntimeError where they look encrypted.
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, KeyError, RuntimeError)


def write_archive(path: PathLike, kind: str, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write arrays under their names and a JSON header that lists them to an `.npz` file, in the place of the old one.

    `kind` says what the file is, "model" or "checkpoint", and `read_archive` asks for it. Raises FileError.
    """
    listed = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    whole = {"format": f"tinygrad_sm {kind}", "version": VERSION, **header, "arrays": listed}
    try:
        text = json.dumps(whole, default=_as_list)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{path}: {error}", remedy="keep only numbers, strings, lists and dicts in notes") from None
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, header=np.array(text), **arrays)


def read_archive(path: PathLike, kind: str) -> tuple[dict[str, Any], Arrays]:
    """The header and the arrays that `write_archive` wrote.

    Raises FileError, which names the file and says what to do, for one that is missing, damaged, truncated, of another
    kind or not ours.
    """
    entries = _entries(path, kind, _content(path, kind))
    header = _header(path, kind, entries.pop("header", None))
    if header["version"] != VERSION:
        raise FileError(f"{path}: has version {header['version']}, not {VERSION}", remedy="install a newer tinygrad_sm")
    found = {name: [str(array.dtype), list(array.shape)] for name, array in entries.items()}
    if found != header.get("arrays"):
        raise FileError(f"{path}: the arrays are not those that its header lists", remedy=_again(kind))
    return header, entries


def _as_list(value: Any) -> Any:
    """NumPy's arrays and numbers as JSON can hold them; some random generators keep their state in arrays."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be written to a file")


def _content(path: PathLike, kind: str) -> bytes:
    """The bytes of what is a zip file at first sight."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}", remedy=f"pass the name of a {kind} file") from None
    if not content:
        raise FileError(f"{path}: the file is empty", remedy=_again(kind))
    if not content.startswith(ZIP):
        raise FileError(f"{path}: not a {kind} file of tinygrad_sm", remedy=f"pass the name of a {kind} file")
    return content


def _entries(path: PathLike, kind: str, content: bytes) -> Arrays:
    """Every array in the zip file, after comparing the checksum of each."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            bad = archive.testzip()
        if bad:
            raise zipfile.BadZipFile(f"{bad} differs from its checksum")
        with np.load(io.BytesIO(content), allow_pickle=False) as loaded:
            return {name: np.asarray(loaded[name]) for name in loaded.files}
    except DAMAGED:
        raise FileError(f"{path}: damaged or truncated, or not a {kind} file", remedy=_again(kind)) from None


def _header(path: PathLike, kind: str, entry: npt.NDArray[Any] | None) -> dict[str, Any]:
    """The header, once it is sure that this is a file of ours and of this kind."""
    try:
        header = json.loads(str(entry))
    except json.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or not str(header.get("format")).startswith("tinygrad_sm "):
        raise FileError(f"{path}: not a {kind} file of tinygrad_sm", remedy=f"pass the name of a {kind} file")
    if header["format"] != f"tinygrad_sm {kind}":
        found = str(header["format"]).removeprefix("tinygrad_sm ")
        raise FileError(f"{path}: a {found} file, not a {kind} file", remedy=f"pass the name of a {kind} file")
    if not isinstance(header.get("version"), int):
        raise FileError(f"{path}: the header names no version", remedy=_again(kind))
    return header


def _again(kind: str) -> str:
    return "train again to write a new one" if kind == "model" else "start afresh, without resuming"
