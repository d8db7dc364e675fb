"""Record what ran and differentiate it: primitives, the tape, and Tensor.

Read in this order: `primitive.py` (what an operation is), `tape.py` (what is recorded, and the sweep back over it),
`tensor.py` (what a user holds in hand), `transforms.py` (gradients as values and as functions).
"""
