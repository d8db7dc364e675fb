"""Writes the README's table of operations from the registry, one table for each family.

`python tests/stubs.py` writes it anew together with the stubs; `tests/test_optable.py` fails while it is stale.
"""

import sys
from pathlib import Path

import tinygrad_sm as tg
from tinygrad_sm.optable import HEAD

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- The operations: written by tests/stubs.py from the registry; do not edit. -->\n"
END = "<!-- End of the operations. -->\n"


def table():
    """The tables of all families, folded."""
    families = {}
    for op in sorted(tg.ops.OPERATIONS.values(), key=lambda op: op.name):
        families.setdefault(op.__module__, []).append(op)
    lines = []
    for module, ops in sorted(families.items()):
        sentence = sys.modules[module].__doc__.strip().partition("\n")[0].rstrip(".")
        name = module.rpartition(".")[2]
        lines += [f"<details><summary><code>ops/{name}.py</code> ({len(ops)}): {sentence}</summary>", ""]
        lines += [HEAD, *map(tg.describe_primitive, ops), "", "</details>"]
    return "\n".join(lines) + "\n"


def readme(text):
    """The text of the README with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


def write():
    """Write the table anew."""
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
