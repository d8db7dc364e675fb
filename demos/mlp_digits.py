"""The main job: a network with one hidden layer learns to read handwritten digits, in a few seconds.

It trains on four fifths of the 1,797 digits that come with the package, a tenth of them held back to watch it learn,
and is tested on the last fifth, which it never saw. The model, the history and the curves go to `runs/digits`.

    python demos/mlp_digits.py --epochs 20 --hidden 64 32 --output elsewhere

This is `python -m tinygrad_sm train`, and takes its options (`--help` lists them). To see how it works, read
`training_loop.py` beside this file, then `tinygrad_sm/train/trainer.py`.
"""

import sys

from tinygrad_sm.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["train", "--data", "digits", "--output", "runs/digits", *sys.argv[1:]]))
