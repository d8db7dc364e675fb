"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from tinygrad_sm.errors import FileError, TinygradError

PathLike: TypeAlias = "str | os.PathLike[str]"


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of `path` when the block ends, and is dropped when the block fails.

    The old file stays whole until then, whatever happens: the new one is written beside it, flushed to the disk and
    renamed. Missing folders are made. Raises FileError where this is impossible.
    """
    if not os.fspath(path) or "\0" in os.fspath(path):
        raise FileError(f"{os.fspath(path)!r} names no file", remedy="pass the name of a file")
    # A link stays a link: the file that it points to is replaced.
    final = Path(os.path.realpath(path))
    temporary = final.with_name(f".{final.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        if final.exists() and not final.is_file():
            raise FileError(
                f"{path}: is a {'folder' if final.is_dir() else 'device'}", remedy="pass the name of a file"
            )
        final.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, final)
    except TinygradError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise FileError(
            f"{path}: cannot be written ({reason})", remedy="choose a folder that can be written to"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: PathLike, text: str) -> None:
    """Write a text in UTF-8 in the place of what the file held; FileError where this is impossible."""
    with replacing(path) as file:
        file.write(text.encode())
