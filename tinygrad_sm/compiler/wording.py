"""How programs speak to people: names for their values, and comments with the user's own lines."""

from __future__ import annotations

import itertools
import keyword
import re

from tinygrad_sm.compiler.program import Instruction, Origin
from tinygrad_sm.location import Location


def unused(name: str, taken: set[str]) -> str:
    """A name like the given one that is none of those that are taken; from now on it is."""
    words = re.findall(r"[A-Za-z_]\w*|\d+", name)
    words.sort(key=str.isdigit)  # `0.weight` becomes weight_0
    base = "_".join(words) or "v"
    base += "_" * keyword.iskeyword(base)
    found, numbers = base, itertools.count(2)
    while found in taken:
        found = f"{base}_{next(numbers)}"
    taken.add(found)
    return found


def base_name(instruction: Instruction) -> str:
    """What the results of an instruction are called: after the operation that it belongs to."""
    phase, op, _ = instruction.origin
    return {"forward": op, "backward": f"g_{op}"}.get(phase, instruction.name)


def described(origin: Origin, width: int) -> str:
    """Which operation of the user's, or which rule of it, and where it stands."""
    if not origin.where:
        return f"{origin.phase}: {origin.op}"
    place = Location(*origin.where)
    what = origin.op if origin.phase == "forward" else f"derivative of {origin.op}"
    return f"{what}, {place}: {place.expression}"[:width]
