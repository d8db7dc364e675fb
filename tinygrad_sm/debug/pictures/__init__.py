"""`debug.draw`: the graph of a tape as SVG, as text and as DOT.

Read `drawing.py` first.
"""
