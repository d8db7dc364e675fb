"""The stubs for editors and type checkers say what the registry holds."""

import pytest
from stubs import PACKAGE, signature, stubs

import tinygrad_sm as tg


@pytest.mark.parametrize(("path", "text"), list(stubs()), ids=["methods", "functions", "linalg"])
def test_stub_is_not_stale(path, text):
    assert path.read_text(encoding="utf-8") == text, "run: python tests/stubs.py"


def test_arguments_without_annotations():
    def bent(x, power=2):
        return x**power

    assert signature(bent, method=False) == "x: Any, power: Any = 2"


def test_every_method_that_the_stub_names_is_there():
    lines = (PACKAGE / "methods.pyi").read_text(encoding="utf-8").splitlines()
    names = [line.split("def ")[1].split("(")[0] for line in lines if "def " in line]
    assert len(names) > 40
    assert all(hasattr(tg.Tensor, name) for name in names)
