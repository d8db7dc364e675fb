"""Loops instead of calls: the parts that the backend `numba` is made of.

Read in this order: `elements.py` (what each instruction does to numbers), `layout.py` (where the elements of values
lie), `nests.py` (which instructions share a loop), `storage.py` (which of their values are kept), `loops.py` (the loops
as source), `scalar_math.py` (functions that become vector instructions), `cache.py` (compiled modules on the disk).
"""

from __future__ import annotations
