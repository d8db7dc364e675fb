"""Numeric CSV files with a header row.

Every complaint names the file, the line and the column. Nothing is filled in, encoded or standardised in silence.
Read `batching.py` next.
"""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinygrad_sm.data.checks import as_path, did_you_mean
from tinygrad_sm.data.dataset import Dataset
from tinygrad_sm.errors import ArgumentError, DTypeError, FileError

FEW = 20  # distinct whole numbers that still look like classes, rather than like a count or an amount
LARGEST = float(np.finfo(np.float32).max)
MISSING = {"", "?", "na", "n/a", "nan", "null"}
NUMBERS_ONLY = "correct it; turn text in a feature into numbers, or remove the column (features=[...] in load_csv)"

Record = tuple[int, list[str]]  # the line on which a row begins, counted from 1, and its cells


def load_csv(
    path: str | os.PathLike[str],
    *,
    target: str | int | None = None,
    features: Sequence[str] | None = None,
    classification: bool | None = None,
    class_names: Sequence[str] = (),
) -> Dataset:
    r"""A data set from a CSV file: one column is the target, the others, or those in `features`, are the inputs.

    `target` is a column's name or index, the last by default. It holds classes where its cells are text, or whole
    numbers of which at most 20 differ and each occurs twice on average; otherwise numbers to predict. `classification`
    decides it outright; `class_names` gives the classes in their order, sorted by default. Gives inputs float32 (N, D);
    targets int64 (N,) or float32 (N, 1). Raises FileError for what cannot be used, ArgumentError for unknown columns.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     size = Path(folder, "houses.csv").write_text("rooms,area,price\n3,80,1.5\n5,120,2.25\n")
    ...     load_csv(Path(folder, "houses.csv"), target="price")
    <Dataset: 2 examples of shape (2,), 1 to predict>
    """
    file = as_path("load_csv", path)
    records = _records(file)
    names = _header(file, records)
    if len(names) < 2:
        raise FileError(f"{file}: a single column, {names[0]!r}", remedy=_how_separated(names[0]))
    chosen = _index(file, names, len(names) - 1 if target is None else target)
    columns = [index for index in range(len(names)) if index != chosen]
    if features is not None:
        columns = _indices(file, names, features)
    if chosen in columns:
        raise ArgumentError(f"{file}: {names[chosen]!r} is the target and a feature", remedy="leave it out of features")
    table = _read(file, names, records, columns, chosen)
    targets, classes = _targets(file, names[chosen], table, classification, tuple(map(str, class_names)))
    return Dataset(table.inputs, targets, classes, tuple(names[index] for index in columns), description=file.name)


def load_columns(path: str | os.PathLike[str], names: Sequence[str]) -> NDArray[np.float32]:
    r"""The named columns of a CSV file as float32 (N, D), in the order of `names`: what a trained model predicts from.

    Other columns, the target among them, may be there or not; they are not read. Raises as `load_csv` does.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     size = Path(folder, "new_houses.csv").write_text("address,area,rooms\nPark Lane 7,80,3\n")
    ...     load_columns(Path(folder, "new_houses.csv"), ["rooms", "area"])
    array([[ 3., 80.]], dtype=float32)
    """
    file = as_path("load_columns", path)
    records = _records(file)
    header = _header(file, records)
    return _read(file, header, records, _indices(file, header, names)).inputs


def last_column(path: str | os.PathLike[str]) -> str:
    """The name of the last column of a CSV file: the target where nothing is said."""
    file = as_path("last_column", path)
    return _header(file, _records(file))[-1]


class _Table(NamedTuple):
    inputs: NDArray[np.float32]
    targets: list[str]
    lines: list[int]


def _records(path: Path) -> Iterator[Record]:
    """The rows of a file, blank lines left out."""
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for cells in reader:
                if cells not in ([], [""]):
                    yield line, cells
                line = reader.line_num + 1
    except csv.Error as error:
        raise FileError(f"{path}, line {line}: {error}", remedy="mend the quotes there, or save it again") from None
    except UnicodeDecodeError:
        raise FileError(f"{path}: not a text file in UTF-8", remedy="save it as CSV UTF-8") from None
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}", remedy="pass the name of a CSV file") from None


def _header(path: Path, records: Iterator[Record]) -> list[str]:
    """The names of the columns, once it is sure that they are names."""
    line, cells = next(records, (1, []))
    names = [cell.strip() for cell in cells]
    if not names:
        raise FileError(f"{path}: the file is empty", remedy="it needs a header row and a row per example")
    if "" in names:
        raise FileError(
            f"{path}, line {line}: column {names.index('') + 1} has no name",
            remedy="name it, or save the file without its row numbers (index=False in pandas)",
        )
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise FileError(f"{path}, line {line}: two columns are called {twice[0]!r}", remedy="rename one of them")
    numbered = names == [str(index) for index in range(len(names))]
    if not numbered and all(_number(name) is not None for name in names):
        raise FileError(
            f"{path}, line {line}: the first row holds numbers, not names", remedy="put a header row above the data"
        )
    return names


def _how_separated(name: str) -> str:
    """What to do about a header of one cell."""
    for separator, called in ((";", "semicolons"), ("\t", "tabs")):
        if separator in name:
            return f"it looks separated by {called}; save it with commas"
    return "it needs a target column and at least one feature, separated by commas"


def _index(path: Path, names: list[str], column: object) -> int:
    """The index, from 0, of a column given by name or by index."""
    if isinstance(column, str):
        if column not in names:
            raise ArgumentError(f"{path}: there is no column {column!r}", remedy=did_you_mean(column, names))
        return names.index(column)
    if not isinstance(column, (int, np.integer)):
        raise DTypeError(f"{path}: a column is a name or an index, got {column!r}", remedy="pass its name as a string")
    if not -len(names) <= column < len(names):
        raise ArgumentError(
            f"{path}: there is no column {column} among {len(names)}", remedy=f"pass 0 to {len(names) - 1}, or a name"
        )
    return int(column) % len(names)


def _indices(path: Path, names: list[str], columns: Sequence[str]) -> list[int]:
    """The indices of several columns, in the order they were asked for."""
    if isinstance(columns, str) or len(columns) == 0:
        raise ArgumentError(f"{path}: {columns!r} does not list any columns", remedy='pass a list of names, ["a", "b"]')
    return [_index(path, names, column) for column in columns]


def _read(
    path: Path, names: list[str], records: Iterator[Record], features: list[int], target: int | None = None
) -> _Table:
    """All rows below the header: the features as numbers, the target still as text."""
    values = array("f")  # rather than lists of floats, which would take eight times the memory
    table = _Table(np.empty((0, 0), np.float32), [], [])
    for line, cells in records:
        if len(cells) != len(names):
            raise FileError(
                f"{path}, line {line}: {len(cells)} cells where the header has {len(names)} columns",
                remedy="mend the row; text that contains a comma needs quotes",
            )
        try:
            values.extend([float(cells[index]) for index in features])
        except ValueError:
            bad = next(index for index in features if _number(cells[index]) is None)
            raise _bad_cell(path, line, names[bad], cells[bad], NUMBERS_ONLY) from None
        table.lines.append(line)
        if target is not None:
            table.targets.append(cells[target].strip())
    if not table.lines:
        raise FileError(f"{path}: there is a header but no data below it", remedy="add a row per example")
    inputs = np.frombuffer(values, dtype=np.float32).reshape(-1, len(features))
    if not np.isfinite(inputs).all():
        row, column = np.argwhere(~np.isfinite(inputs))[0]
        raise _bad_cell(path, table.lines[row], names[features[column]], str(inputs[row, column]), NUMBERS_ONLY)
    return table._replace(inputs=inputs)


def _targets(
    path: Path, column: str, table: _Table, classification: bool | None, class_names: tuple[str, ...]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The target column as labels and the names of the classes, or as numbers and no names."""
    numbers = [_number(cell) for cell in table.targets]
    if classification is None:
        classification = bool(class_names) or _look_like_classes(numbers)
    for line, cell, number in zip(table.lines, table.targets, numbers, strict=True):
        if cell.lower() in MISSING or (number is None and not classification):
            raise _bad_cell(
                path, line, column, cell, "correct it, or name every class by a word (classification=True in load_csv)"
            )
    if not classification:
        return np.array(numbers, dtype=np.float64), ()
    if None in numbers:
        return _labels(path, column, table, class_names or tuple(sorted(set(table.targets))))
    cells = [f"{number:.15g}" for number in numbers]  # so that 1 and 1.0 are the same class
    table = table._replace(targets=cells)
    return _labels(path, column, table, class_names or tuple(sorted(set(cells), key=float)))


def _look_like_classes(numbers: list[float | None]) -> bool:
    """Whether all cells are text, where there is no number, or few and whole."""
    distinct = set(numbers)
    whole = all(number is not None and number.is_integer() for number in distinct)
    return distinct == {None} or (whole and len(distinct) <= min(FEW, len(numbers) // 2))


def _labels(
    path: Path, column: str, table: _Table, class_names: tuple[str, ...]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The position of every cell among the names."""
    label = {name: index for index, name in enumerate(class_names)}
    for line, cell in zip(table.lines, table.targets, strict=True):
        if cell not in label:
            raise FileError(
                f"{path}, line {line}, column {column!r}: {cell!r} is not one of the classes",
                remedy=did_you_mean(cell, class_names),
            )
    return np.array([label[cell] for cell in table.targets], dtype=np.int64), class_names


def _number(cell: str) -> float | None:
    """The number that a cell spells, if it does and float32 can hold it."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) <= LARGEST else None


def _bad_cell(path: Path, line: int, column: str, cell: str, remedy: str) -> FileError:
    place = f"{path}, line {line}, column {column!r}"
    if cell.strip().lower() in MISSING:
        return FileError(f"{place}: the value is missing", remedy="fill it in, or drop the row or the column")
    return FileError(f"{place}: {cell!r} is not a finite float32 number", remedy=remedy)
