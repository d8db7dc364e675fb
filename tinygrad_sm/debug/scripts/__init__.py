"""`debug.source`: a tape as a NumPy script that runs alone.

Read `derivation.py` first.
"""
