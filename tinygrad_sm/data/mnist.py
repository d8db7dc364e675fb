"""MNIST from the IDX files it is published in, gzipped or not.

Read `table.py` next for data of your own.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinygrad_sm.data.checks import as_path, did_you_mean
from tinygrad_sm.data.dataset import Dataset
from tinygrad_sm.errors import ArgumentError, FileError

PREFIXES = {"train": "train", "test": "t10k"}
UNSIGNED_BYTE = 0x08
GZIP = b"\x1f\x8b"


def load_mnist(folder: str | os.PathLike[str], *, part: str = "train", scale: bool = True) -> Dataset:
    """The training part (60,000 images) or the test part (10,000) of MNIST, or of a set in the same files.

    `folder` holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and `t10k-...` for the test part, with or
    without `.gz`; nothing is downloaded. Gives inputs float32 (N, 784), pixels divided by 255 into [0, 1], or from 0
    to 255 with `scale=False`; targets int64 (N,); shape (28, 28). Raises FileError for a file that is missing,
    truncated or foreign, ArgumentError for a part that is neither "train" nor "test".
    Source: LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition.

    >>> load_mnist("data/mnist", part="test")  # doctest: +SKIP
    <Dataset: 10000 examples of shape (28, 28), 10 classes>
    """
    if part not in PREFIXES:
        raise ArgumentError(f"load_mnist: there is no part {part!r}", remedy=did_you_mean(str(part), PREFIXES))
    images_path, labels_path = _find(as_path("load_mnist", folder), part)
    images, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if len(images) != len(labels):
        raise FileError(
            f"{labels_path}: {len(labels)} labels for the {len(images)} images in {images_path.name}",
            remedy="fetch both files again, from one source",
        )
    if labels.max() > 9:
        raise FileError(f"{labels_path}: label {labels.max()} is not a digit", remedy="fetch the labels of MNIST")
    return Dataset(
        inputs=images / np.float32(255) if scale else images,
        targets=labels,
        class_names=tuple("0123456789"),
        description=f"MNIST handwritten digits, {part} part",
    )


def read_idx(path: Path, *, ndim: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file, which must have `ndim` axes.

    Two zero bytes, the type 0x08 and the number of axes come first, then the length of each axis as a big-endian 32-bit
    integer, then the bytes. Raises FileError where the header says otherwise or the file is not as long as it promises.
    """
    content = _read_bytes(path)
    start = 4 + 4 * ndim
    if content[:4] != bytes([0, 0, UNSIGNED_BYTE, ndim]):
        raise FileError(
            f"{path}: not an IDX file of unsigned bytes with {ndim} axes",
            remedy="see that the name belongs to the content, or fetch the file again",
        )
    shape = struct.unpack(f">{ndim}I", content[4:start]) if len(content) >= start else ()
    if not shape or len(content) != start + math.prod(shape):
        promised = f"the {start + math.prod(shape)} its header promises" if shape else f"a header of {start}"
        raise FileError(f"{path}: {len(content)} bytes instead of {promised}", remedy="fetch the file again")
    if 0 in shape:
        raise FileError(f"{path}: an array of shape {shape} holds nothing", remedy="fetch the file again")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _find(folder: Path, part: str) -> list[Path]:
    """The two files of a part, or an error that names those that are missing."""
    if not folder.is_dir():
        raise FileError(f"{folder}: no such folder", remedy="pass the folder that holds the MNIST files")
    names, other = _file_names(part), _file_names("test" if part == "train" else "train")
    missing = [name for name in names if _existing(folder, name) is None]
    if missing:
        have_other = all(_existing(folder, name) for name in other)
        advice = f", or pass part={'test' if part == 'train' else 'train'!r}, which is there" if have_other else ""
        raise FileError(
            f"{folder}: {' and '.join(missing)} (or .gz) not found",
            remedy=f"put the published files there{advice}",
        )
    return [path for name in names if (path := _existing(folder, name))]


def _file_names(part: str) -> tuple[str, str]:
    return f"{PREFIXES[part]}-images-idx3-ubyte", f"{PREFIXES[part]}-labels-idx1-ubyte"


def _existing(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where its first bytes, whatever its name, say that it is gzipped."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(f"{path}: damaged or truncated ({error})", remedy="fetch the file again") from None
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}", remedy="see that the file can be read") from None
