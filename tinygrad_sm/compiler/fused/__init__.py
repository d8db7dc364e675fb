"""Loops instead of calls: the parts that the backend `numba` is made of.

Read in this order: `preparing.py` (programs in the form that loops are made from), `elements.py` (what instructions do
to numbers), `layout.py` (where elements lie), `nests.py` (which instructions share a loop), `phases.py` (how often that
goes through each row), `storage.py` and `plan.py` (what is kept, and where), `loops.py`, `kernels.py` and `calls.py`
(all of it as source), `building.py`, `machine.py` and `cache.py` (source as a function, kept on the disk).
"""

from __future__ import annotations
