"""`debug.step` and the verb `step`: through backprop at a prompt, forwards and back in time.

Read `stepper.py` first.
"""
