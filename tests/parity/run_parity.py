"""Compare values, gradients and second derivatives with PyTorch's, on PyTorch's own sample inputs: `make parity`.

python tests/parity/run_parity.py [--op NAME ...] [--write]

Needs torch. The table says for each function how many samples were compared, how many are of a kind that one of the two
does not have, and the largest difference; below it stand the reasons and the deliberate differences. It ends with an
error where there is a difference that nothing explains. `--write` makes references.json anew, for the tests without
torch.
"""

import argparse
import collections
import contextlib
import inspect
import pathlib
import sys
import warnings
from unittest import mock

import answers
import numpy as np
import points
import spellings
import torch
import torch_layers
from answers import Answer, Call
from differences import CONVENTIONS, DIFFERENCES
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing._internal import common_methods_invocations as tables
from torch.testing._internal import opinfo

import tinygrad_sm as tg

REFERENCES = pathlib.Path(__file__).with_name("references.json")
LARGEST = 20_000  # elements of a sample; what is larger is slow and shows nothing new
KEPT, SMALL = 3, 100  # how many samples of a function become references, and how many elements these may have
RAISES = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, AttributeError, AssertionError)


def as_array(value):
    """A sample of PyTorch's with an array for each tensor."""
    if isinstance(value, torch.Tensor):
        return np.array(value.numpy(force=True))
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, (list, tuple)):
        return type(value)([as_array(each) for each in value])
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value


def tensors_in(value):
    """Every tensor in nested lists, tuples and dicts, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from tensors_in(each)


def held(value, constant=False):
    """The sample with tensors of its own, so that PyTorch's gradients are those that we take too."""
    if isinstance(value, torch.Tensor):
        leaf = value.detach().clone()
        return leaf.requires_grad_(value.requires_grad and not constant)
    if isinstance(value, (list, tuple)):
        return type(value)([held(each, constant) for each in value])
    return value


def theirs(function, args, kwargs, outputs):
    """What PyTorch answers."""
    variables = [x for x in tensors_in([args, kwargs]) if x.requires_grad]
    results = [x if isinstance(x, torch.Tensor) else torch.tensor(x) for x in answers.flat(function(*args, **kwargs))]
    draw = answers.directions()
    gradients = pulled(results[:outputs], variables, draw, create_graph=True)
    try:
        seconds = pulled(gradients, variables, draw, create_graph=False)
    except RuntimeError as error:
        if "not implemented" not in str(error):
            raise
        seconds = None
    return Answer(*as_array([results[:outputs], gradients, seconds]))


def pulled(results, variables, draw, create_graph):
    cotangents = [torch.from_numpy(draw(tuple(x.shape))) for x in results]
    terms = [(x * g).sum() for x, g in zip(results, cotangents, strict=True) if x.requires_grad]
    if not terms or not variables:
        return [torch.zeros_like(x) for x in variables]
    found = torch.autograd.grad(sum(terms[1:], terms[0]), variables, create_graph=create_graph, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(variables, found, strict=True)]


def own_samples(small):
    """(name, function, args, kwargs) of PyTorch's table of operations."""
    for op in tables.op_db:
        dtypes = [each for each in (torch.float64, torch.int64, torch.bool) if each in op.dtypes]
        if op.name in spellings.SPELLINGS and dtypes:
            for sample in samples_of(op, dtypes[0], small):
                yield op.name, op.op, (sample.input, *sample.args), sample.kwargs


def samples_of(op, dtype, small):
    """PyTorch's samples of one function; with smaller tensors, if asked for, where it takes the sizes from names."""
    with contextlib.ExitStack() as stack:
        for module in (tables, opinfo.core, opinfo.definitions.linalg) if small else ():
            stack.enter_context(mock.patch.multiple(module, S=3, M=4, L=5))
        torch.manual_seed(0)
        try:
            return list(op.sample_inputs("cpu", dtype, op.supports_autograd and dtype == torch.float64))
        except (RuntimeError, IndexError):
            if not small:
                raise
    return samples_of(op, dtype, small=False)


def points_of_ours():
    """The same for the points where derivatives are hard."""
    functions = {op.name: op.op for op in tables.op_db}
    for name, args, kwargs in points.POINTS:
        options = {key: as_tensor(value) for key, value in kwargs.items()}
        yield name, functions[name], tuple(as_tensor(each) for each in args), options


def as_tensor(value):
    """Arrays and lists of numbers as tensors, which are variables if they are floating."""
    if isinstance(value, list) and isinstance(value[0], np.ndarray):
        return [as_tensor(each) for each in value]
    if isinstance(value, (list, np.ndarray)):
        array = np.asarray(value)
        return torch.from_numpy(array).requires_grad_(array.dtype.kind == "f")
    return value


class Row:
    """What came of the samples of one function."""

    def __init__(self):
        self.compared = 0
        self.skipped = collections.Counter()
        self.deliberate = collections.Counter()
        self.failures = []
        self.largest = dict.fromkeys(answers.WHAT, 0.0)
        self.equal, self.points = [], []

    def add(self, name, function, args, kwargs):
        """Compare one sample; the call and PyTorch's answer in a list if they are equal, else an empty list."""
        spelling = spellings.SPELLINGS[name]
        absent = [op for op in spelling.ops if not spellings.is_here(op)]
        if absent:
            self.skipped[f"no {', '.join(absent)} here"] += 1
            return []
        names = list(inspect.signature(spelling.function).parameters)
        args = tuple(held(value, i < len(names) and names[i] in spelling.constants) for i, value in enumerate(args))
        kwargs = {name: held(value, name in spelling.constants) for name, value in kwargs.items()}
        variable = [x.requires_grad for x in tensors_in([args, kwargs])]
        call = Call(name, as_array(args), {key: as_array(value) for key, value in kwargs.items()}, variable)
        try:
            call.arguments  # noqa: B018  # tells whether the spelling knows them all
            if call.size > LARGEST:
                raise spellings.UnsupportedError(f"more than {LARGEST} elements")
        except spellings.UnsupportedError as reason:
            self.skipped[str(reason)] += 1
            return []
        try:
            expected = theirs(function, args, kwargs, spelling.outputs)
            if expected.second is None:
                self.skipped["a second derivative, which PyTorch does not have"] += 1
        except RAISES as error:
            self.skipped[f"PyTorch: {str(error).splitlines()[0]}"] += 1
            return []
        return [(call, expected)] if self.is_equal(call, expected) else []

    def is_equal(self, call, expected):
        meant = [each for each in DIFFERENCES if each.is_about(call)]
        try:
            got = answers.ours(call)
        except (spellings.UnsupportedError, tg.errors.UnsupportedError) as reason:
            self.skipped[str(reason).splitlines()[0]] += 1
            return False
        except Exception as error:  # noqa: BLE001  # whatever it is, the table has to tell
            got, problem = None, f"{type(error).__name__}: {error}".splitlines()[0]
            wrong, undefined = list(answers.WHAT), []
        if got is not None:
            largest, wrong = answers.differences(expected, got)
            undefined = [what for what in answers.undefined(expected, got) if what not in wrong]
            if not wrong and not undefined:
                self.compared += 1
                self.largest = {what: max(self.largest[what], largest[what]) for what in answers.WHAT}
                return True
            apart = [f"{what} differs by {largest[what]:.1e}" for what in wrong]
            problem = ", ".join(apart + [f"{what} is NaN in PyTorch and a number here" for what in undefined])
        parts = {*wrong, *undefined}
        meant = [each for each in meant if parts & set(each.what)]
        if parts <= {what for each in meant for what in each.what}:
            self.deliberate.update(each.reason for each in meant)
        else:
            self.failures.append((call, problem, details(expected, got, parts) if got else ""))
        return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--op", nargs="+", help="only these functions of PyTorch, in detail")
    parser.add_argument("--write", action="store_true", help="write references.json anew")
    options = parser.parse_args()
    if options.op and options.write:
        parser.error("--write is for all functions at once")
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    torch.set_num_threads(1)

    rows = collections.defaultdict(Row)
    sources = [own_samples(options.write), torch_layers.samples()]
    with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivatives
        for name, *call in (sample for source in sources for sample in source):
            if not options.op or name in options.op:
                rows[name].equal += rows[name].add(name, *call)
        for name, *call in points_of_ours():
            if not options.op or name in options.op:
                rows[name].points += rows[name].add(name, *call)
    print_table(rows, bool(options.op))
    stale = [] if options.op else [each for each in DIFFERENCES if not times_met(each, rows)]
    for each in stale:
        print(f"  No sample differs so any more: {each.reason}")
    if options.write:
        write(rows)
    sys.exit(bool(stale) or any(row.failures for row in rows.values()))


def print_table(rows, in_detail):
    print(f"{'PyTorch':46} {'compared':>8} {'skipped':>7} {'meant':>5} {'value':>8} {'gradient':>8} {'second':>8}")
    for name, row in sorted(rows.items()):
        sizes = " ".join(f"{row.largest[what]:8.1e}" for what in answers.WHAT)
        print(f"{name:46} {row.compared:8} {row.skipped.total():7} {row.deliberate.total():5} {sizes}")
    print("\nSkipped, and why")
    for name, row in sorted(rows.items()):
        for reason, count in row.skipped.items():
            print(f"  {name}: {count} x {reason}")
    print("\nWritten otherwise here")
    for each in CONVENTIONS:
        print(f"  {each}")
    print("\nDeliberate differences")
    for each in DIFFERENCES:
        print(f"  {', '.join(each.names)} ({', '.join(each.what)}; {times_met(each, rows)} samples)\n    {each.reason}")
    unexplained = sum(len(row.failures) for row in rows.values())
    compared = sum(row.compared for row in rows.values())
    print(f"\n{compared} samples are equal; {unexplained} differ and nothing explains it")
    for name, row in sorted(rows.items()):
        for call, problem, more in row.failures[: None if in_detail else 3]:
            print(f"  {name}{summary(call.arguments)}: {problem}{more if in_detail else ''}")
        if len(row.failures) > 3 and not in_detail:
            print(f"  ... and {len(row.failures) - 3} more of {name}")


def times_met(difference, rows):
    """In how many samples a deliberate difference was met."""
    return sum(row.deliberate[difference.reason] for row in rows.values())


def summary(arguments):
    """Arguments on one line."""
    with np.printoptions(precision=3, threshold=6):
        short = {
            k: f"{v.dtype}{v.shape}" if isinstance(v, np.ndarray) and v.size > 6 else v for k, v in arguments.items()
        }
    return "(" + ", ".join(" ".join(f"{name}={value!r}".split())[:120] for name, value in short.items()) + ")"


def details(expected, got, wrong):
    """Both answers where they differ."""
    both = zip(expected.parts(), got.parts(), strict=True)
    return "".join(f"\n    {what}\n      PyTorch {theirs}\n      ours    {found}" for (what, theirs), (_, found) in both
                   if what in wrong)  # fmt: skip


def write(rows):
    """Keep the hard points, and a few small samples of each function, no two of which are of one form."""
    pairs = []
    for _, row in sorted(rows.items()):
        forms = {}
        for call, answer in sorted(row.equal, key=lambda pair: (not pair[0].size, pair[0].size)):
            if call.size <= SMALL or not forms or (len(forms) < 2 and call.size <= 3 * SMALL):
                forms.setdefault(form(call), (call, answer))
        some = np.unique(np.linspace(0, len(forms) - 1, min(KEPT, len(forms))).astype(int))
        pairs += [*[list(forms.values())[i] for i in some], *row.points]
    names = sorted({name for op in tables.op_db for name in (op.name, *(alias.name for alias in op.aliases))})
    answers.write_references(REFERENCES, pairs, torch=torch.__version__, functions=names)
    print(f"\n{len(pairs)} references in {REFERENCES.stat().st_size / 1000:.0f} kB")


def form(call):
    """What samples of one kind share."""
    arguments = call.arguments
    options = [f"{k}={v}" for k, v in arguments.items() if isinstance(v, (bool, str))]
    return (*options, *arguments, *(x.ndim for x in answers.arrays_in(arguments)))


if __name__ == "__main__":
    main()
