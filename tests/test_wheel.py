"""What people install: the built package, in an environment that holds nothing else, trains away from the checkout."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tinygrad_sm"

pytestmark = [pytest.mark.slow, pytest.mark.extra]


def run(*command, cwd):
    """Run a command without what would lead Python back to the checkout; return what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def package_files():
    """Every file of the package in the checkout, as paths from the root."""
    paths = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in paths}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source archive, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder with the commands of an environment into which only the wheel was installed."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    (wheel,) = built.glob("*.whl")
    run(commands / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return commands


def test_the_wheel_holds_the_whole_package_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == package_files()
    assert "tinygrad_sm/py.typed" in names
    assert any(name.startswith("tinygrad_sm/data/digits") for name in names)


def test_the_source_archive_holds_what_make_test_needs(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    demos = {path.relative_to(ROOT).as_posix() for path in (ROOT / "demos").glob("*.py")}
    assert names >= package_files() | tests | demos | {"LICENSE", "Makefile", "README.md", "pyproject.toml"}


def test_numpy_is_all_that_comes_along(installed, tmp_path):
    listed = json.loads(run(installed / "python", "-m", "pip", "list", "--format", "json", cwd=tmp_path))
    assert {package["name"].replace("_", "-") for package in listed} - {"pip", "setuptools"} == {"numpy", "tinygrad-sm"}


def test_the_installed_package_trains_from_another_folder(installed, tmp_path):
    output = tmp_path / "output"
    where = run(installed / "python", "-c", "import tinygrad_sm; print(tinygrad_sm.__file__)", cwd=tmp_path)
    assert installed.parent.resolve() in Path(where.strip()).resolve().parents
    command = ["-W", "error", "-m", "tinygrad_sm", "train", "--epochs", "1", "--output", output]
    printed = run(installed / "python", *command, cwd=tmp_path)
    assert "accuracy" in printed
    assert (output / "history.csv").stat().st_size > 0


def test_the_command_is_installed(installed, tmp_path):
    assert "train" in run(installed / "tinygrad-sm", "--help", cwd=tmp_path)


READERS = """
import numpy as np
import tinygrad_sm as tg
from tinygrad_sm import Tensor, debug

x = Tensor([1.0, 2.0], requires_grad=True)
loss = (tg.tanh(x) * 3.0).sum()
debug.step(loss, commands=["n", "why g_x[0]"])
print(debug.source(loss).run())
print(debug.player(loss, "page.html").path, debug.draw(loss, "graph.svg"))
"""


def test_the_readers_for_people_come_along(installed, tmp_path):
    (tmp_path / "lesson.py").write_text(READERS, encoding="utf-8")
    printed = run(installed / "python", "-W", "error", "lesson.py", cwd=tmp_path)
    assert "as recorded" in printed
    assert "</html>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "</svg>" in (tmp_path / "graph.svg").read_text(encoding="utf-8")
    (tmp_path / "script.py").write_text(READERS.split("debug.step")[0] + "loss.backward()\n", encoding="utf-8")
    stepped = run(installed / "python", "-m", "tinygrad_sm", "step", "-c", "n", "script.py", cwd=tmp_path)
    assert "BACKWARD 2/3" in stepped
