"""A file is written whole or not at all, and whatever else is found under its name is told from it."""

import errno
import json
import os
import stat
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygrad_sm import files
from tinygrad_sm.errors import ArgumentError, FileError
from tinygrad_sm.files import replacing
from tinygrad_sm.train.archive import read_archive, write_archive

ARRAYS = {"a/x": np.arange(6, dtype=np.float32).reshape(2, 3), "a/scalar": np.array(2.5), "b/empty": np.zeros((0, 4))}


def write(path, kind="model", **header):
    write_archive(path, kind, {"size": [1, 2], "rate": 0.1, **header}, ARRAYS)
    return path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written_is_read_again(tmp_path):
    header, arrays = read_archive(write(tmp_path / "deep" / "er" / "m.npz"), "model")
    assert (header["size"], header["rate"], header["version"]) == ([1, 2], 0.1, 1)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert os.listdir(tmp_path / "deep" / "er") == ["m.npz"]


def test_anybody_can_read_it_with_numpy_alone(tmp_path):
    with np.load(write(tmp_path / "m.npz"), allow_pickle=False) as arrays:
        assert json.loads(arrays["header"].item())["format"] == "tinygrad_sm model"
        np.testing.assert_array_equal(arrays["a/x"], ARRAYS["a/x"])


def test_the_ending_of_the_name_is_left_alone(tmp_path):
    read_archive(write(tmp_path / "model.v2"), "model")
    assert os.listdir(tmp_path) == ["model.v2"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_file(failing, tmp_path, monkeypatch):
    path = write(tmp_path / "m.npz")
    before = contents(tmp_path)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, failing, full)
    with pytest.raises(FileError, match=r"m\.npz: cannot be written \(No space left on device\)"):
        write(path, rate=0.2)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_an_interruption_while_writing_leaves_the_old_file(error, tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("old")

    def write_half():
        with replacing(path) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(error):
        write_half()
    assert contents(tmp_path) == {"history.csv": b"old"}


def test_the_new_content_appears_only_when_all_of_it_is_there(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert contents(tmp_path) == {"f": b"new"}


def test_a_new_file_may_be_read_by_those_who_may_read_others(tmp_path):
    (tmp_path / "other").write_text("")
    with replacing(tmp_path / "f"):
        pass
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with replacing(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_places_where_no_file_can_be(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for path, words in [
        (tmp_path / "file" / "m.npz", "cannot be written"),
        (tmp_path / "file" / "deeper" / "m.npz", "cannot be written"),
        (tmp_path, "is a folder"),
        (os.devnull, "is a device"),
    ]:
        with pytest.raises(FileError, match=words) as error:
            write(path)
        assert str(path) in error.value.message
        assert error.value.remedy
    assert contents(tmp_path) == {"file": b"in the way"}


def test_what_json_cannot_hold_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(ArgumentError, match="a type cannot be written"):
        write(tmp_path / "m.npz", folder=type(tmp_path))
    assert os.listdir(tmp_path) == []


def refused(path, kind="model"):
    with pytest.raises(FileError) as error:
        read_archive(path, kind)
    assert str(path) in error.value.message
    assert error.value.remedy
    return error.value.message


def test_a_truncated_file_is_refused_at_every_length(tmp_path):
    content = write(tmp_path / "m.npz").read_bytes()
    path = tmp_path / "cut.npz"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_byte_is_noticed_or_without_effect(place, flip, tmp_path):
    path = write(tmp_path / "m.npz")
    intact = read_archive(path, "model")
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= flip
    path.write_bytes(content)
    try:
        header, arrays = read_archive(path, "model")
    except FileError:
        return
    assert header == intact[0]
    for name, array in intact[1].items():
        np.testing.assert_array_equal(arrays[name], array)


def test_a_damaged_shape_is_not_believed(tmp_path):
    path = tmp_path / "m.npz"
    write_archive(path, "model", {}, {"x": np.zeros((300, 400))})
    content = path.read_bytes()
    shape, wrong = b"(300, 400), }" + b" " * 10, b"(300, 4000000000000), }"
    assert (len(shape), content.count(shape)) == (len(wrong), 1)
    path.write_bytes(content.replace(shape, wrong))
    refused(path)  # rather than petabytes asked for


def rewritten(path, **entries):
    """A file of ours with some entries replaced, or left out where None."""
    with np.load(write(path), allow_pickle=False) as arrays:
        kept = dict(arrays) | entries
    with path.open("wb") as file:
        np.savez(file, **{name: array for name, array in kept.items() if array is not None})
    return path


def changed_header(path, **changes):
    header, _ = read_archive(write(path), "model")
    return rewritten(path, header=np.array(json.dumps(header | changes)))


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign.npz"
    np.savez(path, weights=np.ones(3))
    assert "not a model file of tinygrad_sm" in refused(path)
    np.savez(path, header=np.array("hello"))
    assert "not a model file of tinygrad_sm" in refused(path)
    np.savez(path, header=np.array(json.dumps({"format": "of somebody else"})))
    assert "not a model file of tinygrad_sm" in refused(path)
    np.savez(path, header=np.array({"a": 1}, dtype=object))  # a pickle, which is never opened
    refused(path)
    np.save(tmp_path / "one.npy", np.ones(3))
    assert "not a model file of tinygrad_sm" in refused(tmp_path / "one.npy")
    path.write_text("a,b\n1,2\n")
    assert "not a model file of tinygrad_sm" in refused(path)
    path.write_bytes(b"")
    assert "empty" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    refused(path)
    assert "No such file" in refused(tmp_path / "missing.npz")
    refused(tmp_path)


def test_another_kind_of_ours_is_named(tmp_path):
    path = write(tmp_path / "m.npz", kind="checkpoint")
    assert "a checkpoint file, not a model file" in refused(path)


def test_versions_from_the_future_and_without_one(tmp_path):
    assert "has version 2, not 1" in refused(changed_header(tmp_path / "m.npz", version=2))
    assert "names no version" in refused(changed_header(tmp_path / "m.npz", version=None))


@pytest.mark.parametrize(
    "entries",
    [
        {"a/x": None},
        {"a/x": np.zeros((3, 2), np.float32)},
        {"a/x": np.zeros((2, 3), np.float64)},
        {"c": np.ones(1)},
        {"header": None},
    ],
)
def test_arrays_that_the_header_does_not_list(entries, tmp_path):
    refused(rewritten(tmp_path / "m.npz", **entries))
