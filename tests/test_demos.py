"""Every demo is short, runs alone, warns of nothing and writes nowhere but into the folder it is run in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEMOS = sorted((ROOT / "demos").glob("*.py"))
MAX_LINES = 59
MAX_COLUMNS = 80
# These print code with its lines, or the rows of a training run, which are as wide as they are.
WIDE = {"gradient_of_softmax", "step_through", "compiled_step", "mlp_digits"}

# Python imports a module of this name before it runs a demo. From then on it refuses to write outside of the folders
# that WRITABLE names.
GUARD = """
import os
import sys

WRITABLE = tuple(os.path.realpath(folder) for folder in os.environ["WRITABLE"].split(os.pathsep))


def guard(event, arguments):
    if event == "open":
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        paths = [path] if writes else []
    elif event in ("os.mkdir", "os.remove", "os.rmdir"):
        paths = arguments[:1]
    elif event in ("os.rename", "os.link", "os.symlink"):
        paths = arguments[:2]
    else:
        return
    for path in paths:
        if isinstance(path, int) or path == os.devnull:
            continue
        place = os.path.realpath(os.fsdecode(path))
        if not any(place == folder or place.startswith(folder + os.sep) for folder in WRITABLE):
            raise PermissionError(f"{event} outside of the working directory: {place}")


sys.addaudithook(guard)
"""


@pytest.fixture(scope="module")
def plot_cache(tmp_path_factory):
    """A folder in which matplotlib keeps its list of fonts, once for all demos."""
    return tmp_path_factory.mktemp("matplotlib")


def run_script(script, folder, plot_cache):
    """Run a script in an empty working directory inside the folder, guarded, with warnings as errors."""
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    working_directory = folder / "here"
    working_directory.mkdir()
    temporary = folder / "temporary"
    temporary.mkdir()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder / "guard"), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLCONFIGDIR": str(plot_cache),
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
        "WRITABLE": os.pathsep.join([str(working_directory), str(temporary), str(plot_cache)]),
    }
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=working_directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_there_are_demos():
    assert DEMOS


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.stem)
def test_demo_fits_on_a_screen(demo):
    lines = demo.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LINES


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.stem)
def test_demo_runs_alone(demo, tmp_path, plot_cache):
    result = run_script(demo, tmp_path, plot_cache)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    if demo.stem not in WIDE:
        assert [line for line in result.stdout.splitlines() if len(line) > MAX_COLUMNS] == []


@pytest.mark.parametrize(
    "code",
    [
        "open('../stray.txt', 'w')",
        "import os; os.mkdir('../stray')",
        "from pathlib import Path; Path('kept').touch(); Path('kept').rename('../stray')",
        "import warnings; warnings.warn('something is off')",
    ],
)
def test_the_guard_notices_a_demo_that_misbehaves(code, tmp_path, plot_cache):
    script = tmp_path / "misbehaving.py"
    script.write_text(code)
    assert run_script(script, tmp_path, plot_cache).returncode == 1


def test_the_guard_lets_a_demo_write_where_it_runs(tmp_path, plot_cache):
    script = tmp_path / "well_behaved.py"
    script.write_text("import os, tempfile; os.mkdir('out'); open('out/x', 'w').close(); tempfile.TemporaryFile()")
    result = run_script(script, tmp_path, plot_cache)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "here" / "out" / "x").exists()
