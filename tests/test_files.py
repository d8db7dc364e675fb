"""Whole files or none: names that are none, and several writers at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tinygrad_sm.errors import FileError
from tinygrad_sm.files import write_text


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_names_no_file_is_refused(name):
    with pytest.raises(FileError, match="names no file") as caught:
        write_text(name, "text")
    assert caught.value.location.filename == __file__  # the user's line, and not one of contextlib


def test_threads_that_write_the_same_file_leave_one_of_their_texts(tmp_path):
    texts = [str(i) * 100_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(tmp_path / "out.txt", text), texts * 3))
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") in texts
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
