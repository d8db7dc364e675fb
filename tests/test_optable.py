"""The README's table of operations says what the registry holds; a user's own operation has its line too."""

import numpy as np
import optable
import pytest

import tinygrad_sm as tg
from tinygrad_sm.engine.primitive import PRIMITIVES
from tinygrad_sm.errors import ArgumentError


def test_table_in_the_readme_is_not_stale():
    text = optable.README.read_text(encoding="utf-8")
    assert text.count(optable.BEGIN) == text.count(optable.END) == 1
    assert optable.readme(text) == text, "run: python tests/stubs.py"


def test_a_stale_table_is_noticed_and_everything_around_it_is_kept():
    stale = f"before\n{optable.BEGIN}old\n{optable.END}after\n"
    fresh = optable.readme(stale)
    assert fresh == f"before\n{optable.BEGIN}{optable.table()}{optable.END}after\n" != stale
    assert optable.readme(fresh) == fresh


def test_every_operation_has_one_line_with_five_cells():
    lines = [line for line in optable.table().splitlines() if line.startswith("| `")]
    assert len(lines) == len(tg.ops.OPERATIONS)
    for line in lines:
        assert line.replace("\\|", "").count("|") == 6
    assert "| `log_softmax(x, axis=-1)` | Logarithm" in optable.table()


def test_line_of_an_own_operation():
    @tg.primitive(elementwise=True, numpy=[np.fabs])
    def fabs(x, scale=1.0):
        """Magnitude: out = |x|.

        More about it.
        """
        return np.fabs(x)

    line = "| `fabs(x, scale=1.0)` | Magnitude: out = \\|x\\| | `np.fabs` | yes | none |"
    try:
        assert tg.describe_primitive(fabs) == line
    finally:
        del PRIMITIVES["fabs"], tg.engine.primitive.NUMPY[np.fabs]
        delattr(tg.Tensor.__mro__[-2], "fabs")


@pytest.mark.parametrize("value", [np.exp, "exp", None])
def test_what_is_no_operation_is_refused(value):
    for ask in (tg.describe_primitive, tg.check_primitive):
        with pytest.raises(ArgumentError, match="no operation") as caught:
            ask(value)
        assert "@tg.primitive" in caught.value.remedy
