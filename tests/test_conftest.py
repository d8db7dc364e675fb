"""The flag --no-skips, by which a skipped test is a failure."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = {
    "in the body": "def test_it():\n    pytest.skip('the reason')",
    "by a mark": "@pytest.mark.skip('the reason')\ndef test_it():\n    pass",
    "of a whole file": "pytest.importorskip('no_such_module', reason='the reason')",
    "in a fixture": "@pytest.fixture\ndef it():\n    pytest.skip('the reason')\n\ndef test_it(it):\n    pass",
}
HARMLESS = "def test_it():\n    pass\n\n@pytest.mark.xfail\ndef test_known_bug():\n    raise ValueError"


def run_pytest(folder, test, *options):
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_it.py").write_text(f"import pytest\n\n{test}\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "test_it.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("test", SKIPS.values(), ids=SKIPS)
def test_no_skips_turns_a_skip_into_a_failure_with_its_reason(tmp_path, test):
    result = run_pytest(tmp_path, test, "--no-skips")
    assert result.returncode in (1, 2), result.stdout
    assert "the reason" in result.stdout


def test_without_the_flag_a_skip_is_a_skip(tmp_path):
    result = run_pytest(tmp_path, f"{SKIPS['in the body']}\n\n{HARMLESS.replace('test_it', 'test_other')}")
    assert result.returncode == 0, result.stdout
    assert "1 skipped" in result.stdout


def test_no_skips_leaves_passed_and_expected_failures_alone(tmp_path):
    result = run_pytest(tmp_path, HARMLESS, "--no-skips")
    assert result.returncode == 0, result.stdout
    assert "1 passed, 1 xfailed" in result.stdout
