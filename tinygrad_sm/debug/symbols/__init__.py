"""Rules and forwards as NumPy code in the user's names, taken from the operations' own source.

Read `opening.py` first, then `formulas.py`.
"""
