"""Compiled modules on the disk: found again, replaced where they are damaged, and done without where they cannot be."""

import sys
from pathlib import Path

import pytest

from tinygrad_sm.compiler.fused import cache

SOURCE = "def answer():\n    return 42\n"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(source=SOURCE, depends="version 1", finish=lambda module: None):
    return cache.load(source, depends, finish)


def files(place):
    return sorted(path.name for path in place.glob("*.py"))


def test_a_module_is_written_once_and_found_again(place):
    assert load().answer() == 42
    (path,) = place.glob("*.py")
    before = path.stat()
    assert load().answer() == 42
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert files(place) == [path.name]


def test_other_source_and_other_versions_are_other_modules(place):
    load()
    load(depends="version 2")
    assert load(SOURCE.replace("42", "43")).answer() == 43
    assert len(files(place)) == 3


@pytest.mark.parametrize("content", ["", "raise RuntimeError", "\0\0", "def answer():\n    return 41\n"])
def test_a_damaged_file_is_replaced_unread(place, content):
    load()
    (path,) = place.glob("*.py")
    path.write_text(content)
    assert load().answer() == 42
    assert path.read_text() == SOURCE


def test_a_folder_in_the_place_of_a_module_breaks_nothing(place):
    load()
    (path,) = place.glob("*.py")
    path.unlink()
    path.mkdir()
    assert load().answer() == 42


def test_damaged_machine_code_is_thrown_away(place):
    load()
    (path,) = place.glob("*.py")
    code = path.parent / "__pycache__" / f"{path.stem}.kernel-1.nbi"
    code.parent.mkdir(exist_ok=True)
    code.write_bytes(b"damaged")

    def finish(module):
        if code.exists():
            raise ValueError("unpickling failed")

    assert load(finish=finish).answer() == 42
    assert not code.exists()


def test_what_cannot_be_compiled_raises_its_own_error(place):
    def finish(module):
        raise ValueError("no such type")

    with pytest.raises(ValueError, match="no such type"):
        load(finish=finish)


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file" / "cache"))
    assert load("flag = 'cache=True'\n" + SOURCE).flag == "cache=False"  # Numba is told, too


def test_without_a_home_there_is_no_cache(monkeypatch):
    monkeypatch.delenv(cache.VARIABLE)

    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    assert load().answer() == 42


def test_only_the_latest_modules_are_kept(place, monkeypatch):
    monkeypatch.setattr(cache, "MOST", 3)
    for i in range(6):
        load(f"number = {i}\n")
    assert len(files(place)) == 3
    assert load("number = 5\n").number == 5


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "~/.cache/tinygrad_sm"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/tinygrad_sm"),
        ("darwin", {}, "~/Library/Caches/tinygrad_sm"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/tinygrad_sm/cache"),
        ("win32", {}, "~/AppData/Local/tinygrad_sm/cache"),
        ("linux", {cache.VARIABLE: "/mine"}, "/mine"),
    ],
)
def test_where_the_cache_is(monkeypatch, platform, variables, expected):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", cache.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache.folder() == Path(expected).expanduser()
