"""Rules and forwards in symbols, in the user's names."""

from __future__ import annotations

from typing import Any


def forward_formula(node: Any, names: Any) -> str:
    """What a node computed, in the user's names."""
    args = [names.argument(node, i) for i in range(len(node.args))]
    return f"{names.of(node)} = {node.op.name}({', '.join(args)})"


def rule_formula(node: Any, position: int, names: Any) -> str:
    """The rule for one operand in the user's names, on one line."""
    return f"g_{names.argument(node, position)} = {node.op.rule(position).__name__}(...)"
