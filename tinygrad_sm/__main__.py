"""The command line, `python -m tinygrad_sm VERB`: what options there are.

What they do stands in `train/command.py`, for `step` in `debug/stepping/script.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from tinygrad_sm.errors import TinygradError
from tinygrad_sm.nn.activations import ACTIVATIONS
from tinygrad_sm.train import command

N = TypeVar("N", int, float)

PROGRAM = "python -m tinygrad_sm"


class _Parser(argparse.ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _count(text: str) -> int:
    return _checked(int, text, "a whole number of at least 1", lambda x: x >= 1)


def _seed(text: str) -> int:
    return _checked(int, text, "a whole number of at least 0", lambda x: x >= 0)


def _share(text: str) -> float:
    return _checked(float, text, "a number from 0 up to, but not including, 1", lambda x: 0 <= x < 1)


def _rate(text: str) -> float:
    return _checked(float, text, "a number of at least 0", lambda x: 0 <= x < math.inf)


def _checked(kind: type[N], text: str, wanted: str, suits: Callable[[N], bool]) -> N:
    """The number that an option's value spells, if it suits."""
    with contextlib.suppress(ValueError):
        number = kind(text)
        if suits(number):
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")


def parser() -> argparse.ArgumentParser:
    """The options of every verb; one that was not given is absent from the result, so that a resumed run can tell."""
    top = _Parser(
        prog=PROGRAM, description="Train a small network on digits or on your own data, use it, and see how it learns."
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)

    about = "Train a network and save it. Defaults stand in parentheses."
    train = verbs.add_parser(
        "train", argument_default=argparse.SUPPRESS, description=about, help="train and save a network"
    )
    add, usual = train.add_argument, command.DEFAULTS
    add("--data", metavar="DATA", help="digits (shipped, the default), a CSV file, or a folder with MNIST files")
    add("--target", metavar="COLUMN", help="column of the CSV file to predict (the last)")
    add("--hidden", type=_count, nargs="*", metavar="N", help=f"sizes of the hidden layers ({usual['hidden'][0]})")
    add("--activation", choices=ACTIVATIONS, help=f"between the layers ({usual['activation']})")
    add("--dropout", type=_share, metavar="P", help=f"probability to drop a hidden unit ({usual['dropout']})")
    smoothing = f"share of each label to spread over all classes ({usual['label_smoothing']})"
    add("--label-smoothing", type=_share, metavar="S", help=smoothing)
    add("--optimizer", choices=command.USUAL, help=f"({usual['optimizer']})")
    add("--lr", type=_rate, help="learning rate (0.003; for sgd and adagrad 0.05, rmsprop 0.001, adadelta 1)")
    add("--momentum", type=_share, metavar="M", help="of sgd (0.9) or rmsprop (0)")
    add("--weight-decay", type=_rate, metavar="W", help="(0; for adamw 0.01)")
    falling = "of the learning rate: to a tenth in each third, half a wave to 0, up and down, or at a standstill (none)"
    add("--schedule", choices=command.SCHEDULES, help=falling)
    add("--batch-size", type=_count, metavar="N", help=f"examples in a step ({usual['batch_size']})")
    add("--epochs", type=_count, metavar="N", help=f"passes over the training part ({usual['epochs']})")
    add("--seed", type=_seed, metavar="N", help=f"of the split, the weights, the order and dropout ({usual['seed']})")
    validation = f"of the training part to validate with, 0 for none ({usual['validation']})"
    add("--validation", type=_share, metavar="SHARE", help=validation)
    add("--patience", type=_count, metavar="N", help="stop after N epochs without a lower validation loss")
    compiled = "run each step as one compiled program: numpy (if nothing is said), or numba, which is an extra"
    add("--compile", nargs="?", const="numpy", choices=["numpy", "numba"], help=compiled)
    add("--output", metavar="FOLDER", help="where to write (runs/digits, or runs/ and the name of the data)")
    add("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    add("--quiet", action="store_true", help="print only the result")

    evaluate = verbs.add_parser("evaluate", help="test a saved model")
    evaluate.add_argument("model", metavar="MODEL", help="the model.npz that train wrote")
    evaluate.add_argument("--data", metavar="DATA", help="as for train; of the data it was trained on, the test part")
    evaluate.add_argument("--target", metavar="COLUMN", help="column of the CSV file that holds the truth")

    predict = verbs.add_parser("predict", help="apply a saved model to the rows of a CSV file")
    predict.add_argument("model", metavar="MODEL", help="the model.npz that train wrote")
    predict.add_argument("file", metavar="FILE.csv", help="with the columns that it was trained on")
    predict.add_argument("--output", metavar="FILE.csv", help="where to write (to the terminal)")

    about = "Run a script unchanged, and step through backprop where it calls backward. Options stand before SCRIPT."
    step = verbs.add_parser("step", description=about, help="step through the backward pass of a script")
    add = step.add_argument
    add("--at", type=_count, default=1, metavar="N", help="stop at the N-th call of backward (1)")
    again = "do this instead of asking; may be given several times"
    add("-c", dest="commands", action="append", metavar="COMMAND", help=again)
    add("script", metavar="SCRIPT", help="a Python file")
    rest = add("arguments", nargs=argparse.REMAINDER, metavar="...", help="what the script itself is given")
    rest.required = False  # or a missing SCRIPT would be complained of as `SCRIPT, ...`
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0, 2 for what cannot be done, 130 after Ctrl-C."""
    options = vars(parser().parse_args(arguments))
    verb = options.pop("verb")
    try:
        status = _run(verb, options)
        sys.stdout.flush()
        return status
    except TinygradError as error:
        advice = f" -> {error.remedy}" if error.remedy else ""
        print(f"{PROGRAM} {verb}: {error.message}{advice}".replace("\n", " "), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Who reads the output has closed it, as `head` does; Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(verb: str, options: dict[str, Any]) -> int:
    if verb == "evaluate":
        return command.evaluate(**options)
    if verb == "predict":
        return command.predict(**options)
    if verb == "step":
        commands = "\n".join(options["commands"]) if options["commands"] else None
        script = importlib.import_module("tinygrad_sm.debug.stepping.script")  # `train` does not wait for it
        return int(script.run(options["script"], options["arguments"], options["at"], commands))
    output = options.pop("output", None)
    flags = {name: options.pop(name, False) for name in ("resume", "quiet")}
    return command.train(options, output=output, **flags)


if __name__ == "__main__":
    sys.exit(main())
