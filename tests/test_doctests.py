"""Every example in a docstring runs, and so does every Python block in the README and its neighbours.

Docstrings are read from the source rather than from the imported objects, so that none is missed because something
wraps its function: an op, a property, a cached function.
"""

import ast
import doctest
import importlib
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tinygrad_sm"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(node, name):
    """Yield (dotted name, docstring, line) of a syntax tree and of everything defined in it."""
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
        yield name, ast.get_docstring(node, clean=False), node.body[0].lineno - 1
    for child in ast.iter_child_nodes(node):
        yield from docstrings(child, f"{name}.{child.name}" if hasattr(child, "name") else name)


def examples():
    """One test for each docstring with an example."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name, text, line in docstrings(ast.parse(path.read_text(encoding="utf-8")), module):
            if doctest.DocTestParser().get_examples(text):
                yield pytest.param(module, path, name, text, line, id=name)


@pytest.mark.parametrize(("module", "path", "name", "text", "line"), list(examples()))
def test_examples_in_docstrings(module, path, name, text, line, tmp_path, monkeypatch):
    names = vars(importlib.import_module(module)).copy()
    monkeypatch.chdir(tmp_path)  # an example that writes a file leaves nothing in the checkout
    test = doctest.DocTestParser().get_doctest(text, names, name, str(path), line)
    failures = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=failures.append)
    if failures:
        pytest.fail("".join(failures), pytrace=False)


FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script_of(markdown):
    """The Python blocks of a page as one script, and what it prints according to the text blocks that follow them."""
    blocks = FENCE.findall(markdown)
    code = [body for language, body in blocks if language == "python"]
    promised = [
        body
        for (before, _), (language, body) in itertools.pairwise(blocks)
        if before == "python" and language == "text"
    ]
    return "\n".join(code), "".join(promised)


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_python_in_pages_runs_and_prints_what_they_promise(page, tmp_path):
    script, promised = script_of(page.read_text(encoding="utf-8"))
    path = tmp_path / f"{page.stem}.py"  # in a file, so that errors and tapes can quote its lines
    path.write_text(script, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-W", "error", path.name],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == promised.split(), result.stdout


def test_a_page_that_promises_too_much_is_noticed():
    page = "```python\nprint(1)\n```\ngives\n```text\n2\n```\n```python\nx = 1\n```\n```console\n$ ls\n```\n"
    assert script_of(page) == ("print(1)\n\nx = 1\n", "2\n")
