"""The stepper: through backprop one operation at a time, forwards and backwards in time, at a prompt.

It walks over a recording, so a step back is nothing but the step before. `screen.py` draws a step; the answers to the
larger questions are in `sums.py`, `paths.py` and `differences.py`; `breakpoints.py` knows what one can stop at.
"""

from __future__ import annotations

import bdb
import cmd
import contextlib
import functools
import pdb  # noqa: T100  # the command that steps into a rule
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.debug.comparison import Comparison, compare
from tinygrad_sm.debug.pages import page
from tinygrad_sm.debug.recording import Contribution, Recording, Step
from tinygrad_sm.debug.stepping.breakpoints import KINDS, Breakpoint, breakpoint_of
from tinygrad_sm.debug.stepping.differences import check
from tinygrad_sm.debug.stepping.evaluation import arrived, evaluate, namespace, variables_of_user
from tinygrad_sm.debug.stepping.lookup import element_of_gradient, nearest, value_or_gradient
from tinygrad_sm.debug.stepping.paths import paths
from tinygrad_sm.debug.stepping.screen import numbers, position, screen, sources, tape_around
from tinygrad_sm.debug.stepping.sums import why
from tinygrad_sm.debug.text import WIDTH, shape, wrapped
from tinygrad_sm.engine.tape import Node
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, GradientError, TinygradError

ALIASES = {
    "next": "n",
    "back": "b",
    "prev": "b",
    "jump": "j",
    "continue": "c",
    "print": "p",
    "compare": "cmp",
    "quit": "q",
    "exit": "q",
    "l": "list",
    "h": "help",
    "u": "up",
    "d": "down",
}
MOVEMENTS = {"n", "b", "c", "rc", "up", "down"}  # which an empty line repeats


def step(output: Tensor, *, cotangent: Any = None, commands: str | Sequence[str] | None = None) -> None:
    """Step through the backward pass of a tensor at a prompt, to and fro; it takes no gradients and changes nothing.

    Args: output: the loss. cotangent: as for `backward`. commands: what to do instead of asking, a sequence, or a text
    with one on each line or semicolons between; the session ends with the last. `help` at the prompt lists them. At the
    prompt of pdb write `!debug.step(loss)`, as pdb has a command `debug` of its own. Raises DTypeError, GradientError
    or StaleValueError for what cannot be stepped through, as `Recording` does.

    >>> x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> step((x * x).sum(), commands="why g_x[1]")  # doctest: +ELLIPSIS
    2 steps forward, 2 steps back...
     g_x[1] = 2 + 2 = 4, as recorded
    """
    Stepper(Recording(output, cotangent, caller="debug.step"), commands).run()


def steps(output: Tensor, *, cotangent: Any = None, forward: bool = False) -> Iterator[Step]:
    """The steps of the backward pass of a tensor in order, with forward=True those of the forward pass first.

    Args: output: the loss. cotangent: as for `backward`. Each step has `op`, `location`, `formula`, `cotangent` and
    `contributions`, each of which has `argument`, `value` and `edge`. Raises what `step` raises.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> [each.op.name for each in steps((x * x).sum())]
    ['sum', 'multiply']
    """
    recording = Recording(output, cotangent, caller="debug.steps")
    return iter(recording.steps if forward else recording.backward)


class Stepper(cmd.Cmd):
    """A session over a recording. `quit` tells afterwards whether it was left by `q` rather than by `resume`."""

    prompt = "(tape) "

    def __init__(self, recording: Recording, commands: str | Sequence[str] | None = None) -> None:
        super().__init__()
        self.recording = recording
        if not recording.steps:
            raise GradientError("debug.step: this tensor is a leaf: there is no operation to step through")
        self.commands = None if commands is None else _lines(commands)
        self.variables = variables_of_user()
        self.breakpoints: list[Breakpoint] = []
        self.index = len(recording.forward)
        self.movement = "n"
        self.quit = False

    def run(self) -> None:
        """Show the first step and obey: the commands that were given, or else whoever types."""
        forward, back = len(self.recording.forward), len(self.recording.backward)
        first = f"{forward} steps forward, {back} steps back. n: next, b: back in time (into the forward pass),"
        rest = "Return: the last movement again, help: the rest. Looking changes nothing."
        self.say(textwrap.fill(f"{first} {rest}", WIDTH))
        self.show()
        if self.commands is None:
            self._ask()
            return
        for line in self.commands:
            self.say(f"{self.prompt}{line}")
            if self.onecmd(line):
                return

    def _ask(self) -> None:
        """Obey whoever types, until the end of input; where nobody can be asked, that is now."""
        try:
            self.cmdloop()
        except (RuntimeError, OSError, ValueError) as error:
            if not _is_lack_of_input(error):
                raise
            self.do_EOF("")

    def onecmd(self, line: str) -> bool:
        """Carry out one line; an error of ours is shown, and the session goes on."""
        word, space, rest = line.strip().partition(" ")
        word = ALIASES.get(word, word)
        if word in MOVEMENTS:
            self.movement = word + space + rest
        try:
            return bool(super().onecmd(word + space + rest))
        except TinygradError as error:
            for text in (error.message, f"-> {error.remedy}" if error.remedy else ""):
                self.say("\n".join(wrapped(text, " ")))
        except KeyboardInterrupt:
            self.say(" interrupted")
        return False

    def say(self, text: str) -> None:
        """Print; what the terminal has no characters for, escaped."""
        if text:
            encoding = getattr(self.stdout, "encoding", None) or "utf-8"
            print(text.encode(encoding, "backslashreplace").decode(encoding), file=self.stdout)

    @property
    def step(self) -> Step:
        """Where the session stands."""
        return self.recording.steps[self.index]

    def show(self) -> None:
        """Show where the session stands."""
        self.say(screen(self.step))

    def emptyline(self) -> bool:
        """Move once more as before."""
        return self.onecmd(self.movement)

    def default(self, line: str) -> None:
        """Say which command was probably meant."""
        word = line.split()[0]
        known = [name for name in self.completenames("") if name != "EOF"]
        what = f"{word!r} is no command{nearest(word, known)}"
        raise ArgumentError(what, remedy="help lists them; p EXPR prints what an expression gives")

    # moving

    def do_n(self, arg: str) -> None:
        """`n [COUNT]`: forwards in time, to the next step."""
        self._move(_count(arg))

    def do_b(self, arg: str) -> None:
        """`b [COUNT]`: back in time, to the step before."""
        self._move(-_count(arg))

    def do_j(self, arg: str) -> None:
        """`j 4 | f2 | b4 | [3]`: jump to a step of this phase, of the forward or backward one, or to a node."""
        match = re.fullmatch(r"([fb]?)(\d+)|\[(\d+)\]", arg)
        if not match:
            raise ArgumentError(f"{arg!r} is not a step", remedy="write j 4, j f2, j b4 or, for a node, j [3]")
        if match[3]:
            self._go_to_node(self._numbered(int(match[3])))
            return
        phase = {"f": "forward", "b": "backward", "": self.step.phase}[match[1]]
        found = self.recording.forward if phase == "forward" else self.recording.backward
        if not 1 <= int(match[2]) <= len(found):
            raise ArgumentError(f"there is no step {match[2]} among the {len(found)} of the {phase} pass")
        self._go(found[int(match[2]) - 1].index)

    def do_c(self, arg: str) -> None:
        """`c`: continue to the next breakpoint, or to the end."""
        self._run_to(range(self.index + 1, len(self.recording.steps)))

    def do_rc(self, arg: str) -> None:
        """`rc`: reverse continue: back in time to a breakpoint, or to the first step."""
        self._run_to(range(self.index - 1, -1, -1))

    def do_up(self, arg: str) -> None:
        """`up [K]`: along the graph towards the loss, to the K-th operation that reads this output."""
        outputs = range(len(self.step.node.values))
        readers = [node for i in outputs for node, _ in self.recording.readers.get((self.step.node, i), [])]
        self._follow(list(dict.fromkeys(readers)), arg, "nothing reads this: it is the output")

    def do_down(self, arg: str) -> None:
        """`down [K]`: along the graph towards the leaves, to the operation that made the K-th operand."""
        makers = [edge[0] for edge in self.step.node.parents if edge and edge[0].op]
        self._follow(list(dict.fromkeys(makers)), arg, "every operand is a leaf or a constant")

    def _follow(self, nodes: list[Node], arg: str, nowhere: str) -> None:
        if not nodes:
            raise ArgumentError(nowhere)
        k = _count(arg)
        if k > len(nodes):
            raise ArgumentError(f"there are {len(nodes)}: {numbers(self.recording, nodes)}")
        if len(nodes) > 1 and not arg:
            self.say(f" the first of {len(nodes)}: {numbers(self.recording, nodes)}")
        self._go_to_node(nodes[k - 1])

    def _go_to_node(self, node: Node) -> None:
        """Go to the step of a node in this phase."""
        same = self.recording.forward if self.step.phase == "forward" else self.recording.backward
        found = [each for each in same if each.node is node]
        if not found:
            raise ArgumentError(f"[{self.recording.names.number[node]}] is a leaf: nothing is computed there")
        self._go(found[0].index)

    def _numbered(self, number: int) -> Node:
        if number >= len(self.recording.nodes):
            raise ArgumentError(f"there is no [{number}]: the tape has {len(self.recording.nodes)} nodes")
        return self.recording.nodes[number]

    def _move(self, distance: int) -> None:
        target = min(max(self.index + distance, 0), len(self.recording.steps) - 1)
        if target == self.index:
            self.say(f" this is the {'last' if distance > 0 else 'first'} step")
        else:
            self._go(target)

    def _go(self, index: int) -> None:
        self.index = index
        self.show()

    def _run_to(self, indices: range) -> None:
        """Go to the first of these steps at which a breakpoint holds, or to the last of them."""
        if not indices:
            self.say(f" this is the {'first' if indices.step < 0 else 'last'} step")
            return
        for index in indices:
            for i, each in enumerate(self.breakpoints, start=1):
                if each.holds(self.recording.steps[index]):
                    self.say(f" breakpoint {i}: {each.text}")
                    self._go(index)
                    return
        self.say(" no breakpoint holds on the way" if self.breakpoints else " there are no breakpoints")
        self._go(indices[-1])

    # stopping

    def do_break(self, arg: str) -> None:
        """`break [WHAT]`: stop there on c and rc; without WHAT, list the breakpoints."""
        if arg:
            self.breakpoints.append(breakpoint_of(arg, self.recording))
            self.say(f" breakpoint {len(self.breakpoints)}: {self.breakpoints[-1].text}")
            return
        for i, each in enumerate(self.breakpoints, start=1):
            self.say(f" {i}  {each.text}")
        if not self.breakpoints:
            self.say("\n".join(wrapped(f"no breakpoints; break takes {KINDS}", " ")))

    def do_clear(self, arg: str) -> None:
        """`clear [NUMBER]`: remove one breakpoint, or all."""
        if arg and not (arg.isdecimal() and 1 <= int(arg) <= len(self.breakpoints)):
            raise ArgumentError(f"there is no breakpoint {arg}", remedy="break lists them")
        if arg:
            del self.breakpoints[int(arg) - 1]
        else:
            self.breakpoints.clear()
        self.do_break("")

    # asking

    def do_p(self, arg: str) -> None:
        """`p EXPR`: print an expression of your names, g, out, the operands, g_W and np."""
        self.say(_printed(evaluate(arg, self.step, self.variables)))

    def do_why(self, arg: str) -> None:
        """`why g_W[0,1]`: the sum that made one element of a gradient, with its numbers."""
        if not arg:
            raise ArgumentError("why which element?", remedy="write why g_W[0,1]")
        edge, index = element_of_gradient(arg, self.recording)
        late = [each for each, _ in self.recording.contributions_to(edge) if each.index > self.index]
        if late:
            self.say(f" (it is complete at {position(late[-1])}, further on)")
        self.say(why(self.recording, edge, index))

    def do_paths(self, arg: str) -> None:
        """`paths x`: what every path from the loss adds to a gradient, and that it adds up."""
        if not arg:
            raise ArgumentError("paths to what?", remedy="write paths x")
        self.say(paths(self.recording, value_or_gradient(arg, self.recording)))

    def do_check(self, arg: str) -> None:
        """`check`: this operation's rules against finite differences at these very values."""
        self.say(check(self._backward_step())[0])

    def do_cmp(self, arg: str) -> None:
        """`cmp [g_W =] EXPR`: your own derivation against the real contribution."""
        if not arg:
            raise ArgumentError("which derivation?", remedy="write cmp g_W = EXPR")
        match = re.fullmatch(r"(\w+)\s*=\s*([^=].*)", arg)
        mine = evaluate(match[2] if match else arg, self.step, self.variables)
        sent = self._contributions(match[1]) if match else self._contributions_like(mine)
        found = [self._compared(mine, each) for each in sent]
        self.say(str(next(filter(None, found), found[0])))  # one that is close, if any
        edge = sent[0].edge
        if sent[0].count > 1 and not any(found) and compare(mine, self.recording.cotangents[edge]):
            text = f"yet it is the whole of {self.recording.names.gradient(edge)}, all contributions together"
            self.say("\n".join(wrapped(text, " ")))

    def do_src(self, arg: str) -> None:
        """`src`: your code around the line that recorded this operation, and the source of its rules."""
        self.say(sources(self.step))

    def do_list(self, arg: str) -> None:
        """`list`: the tape around this operation, and the gradients that have arrived."""
        self.say(tape_around(self.step, arrived(self.step)))

    def do_pdb(self, arg: str) -> None:
        """`pdb [g_W]`: into a rule under pdb with the recorded arguments (forwards: into the operation itself)."""
        node, op = self.step.node, self.step.op
        args: tuple[Any, ...]
        if self.step.phase == "forward":
            function, args = op.forward, (node.args,) if op.variadic else node.args
        else:
            sent = self._contributions(arg)[0] if arg else self.step.contributions[0]
            function = sent.rule
            args = (self.step.cotangent, node.out, *((sent.position, node.args) if op.variadic else node.args))
        _under_pdb(functools.partial(pdb.Pdb(nosigint=True).runcall, function, *args, **node.kwargs))
        self.show()

    def do_html(self, arg: str) -> None:
        """`html [PATH]`: write the interactive page (tape.html)."""
        page.player(self.recording, arg or "tape.html")
        self.say(f" wrote {arg or 'tape.html'}")

    # leaving

    def do_resume(self, arg: str) -> bool:
        """`resume`: leave, and let the program go on."""
        return True

    def do_q(self, arg: str) -> bool:
        """`q`: leave; under `python -m tinygrad_sm step` the program ends too."""
        self.quit = True
        return True

    def do_EOF(self, arg: str) -> bool:  # noqa: N802  # as cmd calls it
        """End of input: leave, and let the program go on."""
        print(file=self.stdout)  # or what comes next would stand behind the prompt
        return True

    def do_help(self, arg: str) -> None:
        """`help [COMMAND]`: this list."""
        name = arg.split()[0] if arg else ""
        if name:
            method = getattr(self, f"do_{name}", None)
            if method is None or not method.__doc__:
                raise ArgumentError(f"{name!r} is no command{nearest(name, self.completenames(''))}")
            self.say("\n".join(wrapped(method.__doc__.replace("`", ""), " ")))
            if name == "break":
                self.say("\n".join(wrapped(f"WHAT is {KINDS}", " ")))
            return
        for method in vars(Stepper).values():
            usage, colon, meaning = (getattr(method, "__doc__", None) or "").partition("`: ")
            if colon and method.__name__.startswith("do_"):
                self.say("\n".join(wrapped(meaning, " " * 20, f" {usage[1:]:<21}")))

    def completedefault(self, text: str, *ignored: Any) -> list[str]:
        """Names that an expression may go on with."""
        return [name for name in namespace(self.step, {}) if name.startswith(text)]

    def _backward_step(self) -> Step:
        """The way back through the operation where the session stands."""
        return next(each for each in self.recording.backward if each.node is self.step.node)

    def _contributions(self, name: str) -> list[Contribution]:
        """What this operation sends to a gradient that is called so, or to an operand."""
        sent = self._backward_step().contributions
        found = []
        for each in sent:
            value = self.recording.names.of(*each.edge)
            if name in (f"g_{value}", f"d{value}", f"{value}.grad", value, each.argument):
                found.append(each)
        if not found:
            raise ArgumentError(f"{name!r} gets nothing from this operation", remedy=f"it sends {self._sent(sent)}")
        return found

    def _contributions_like(self, mine: Any) -> list[Contribution]:
        """What this operation sends to its only receiver, or to the only one of that shape."""
        sent = self._backward_step().contributions
        try:
            fitting = [each for each in sent if each.value.shape == np.shape(mine)]
        except ValueError as error:  # rows of different lengths
            raise ArgumentError(str(error)) from error
        if len(sent) == 1 or len({each.edge for each in fitting}) == 1:
            return fitting or list(sent)
        raise ArgumentError(f"which of {self._sent(sent)}?", remedy="write cmp g_W = EXPR")

    def _compared(self, mine: Any, sent: Contribution) -> Comparison:
        """A derivation held against one contribution."""
        name = self.recording.names.gradient(sent.edge)
        which = f", contribution {sent.ordinal} of {sent.count}," if sent.count > 1 else ""
        return compare(mine, sent.value, name=f"{name}{which}")

    def _sent(self, sent: Sequence[Contribution]) -> str:
        return ", ".join(f"{self.recording.names.gradient(each.edge)} {shape(each.value)}" for each in sent)


def _printed(value: Any) -> str:
    """A value as `p` prints it; ArgumentError where it cannot be."""
    try:
        if isinstance(value, np.ndarray) and value.ndim:
            with np.errstate(all="ignore"), np.printoptions(precision=4, linewidth=WIDTH - 1, threshold=200):
                return f"{shape(value)} {value.dtype}\n{value}"
        return repr(value)
    except Exception as error:  # of a class of the user's
        raise ArgumentError(f"its repr raises {type(error).__name__}: {error}") from error


def _is_lack_of_input(error: Exception) -> bool:
    """Whether nobody can be asked: a notebook run as a whole, a test with captured input, a closed input."""
    if sys.stdin is None or sys.stdin.closed:
        return True
    return isinstance(error, (NotImplementedError, OSError)) and not isinstance(error, BrokenPipeError)


def _under_pdb(run: Callable[[], Any]) -> None:
    """Run with tracing switched on, also where a debugger is at work already, which gets it back afterwards.

    Raises ArgumentError for what was raised under pdb, so that the session goes on.
    """
    tracing = sys.gettrace()
    try:
        with contextlib.suppress(bdb.BdbQuit):
            sys.call_tracing(run, ())
    except Exception as error:
        raise ArgumentError(f"pdb: {type(error).__name__}: {error}") from error
    finally:
        sys.settrace(tracing)


def _lines(commands: str | Sequence[str]) -> Sequence[str]:
    """Commands one by one."""
    if isinstance(commands, str):
        return [line.strip() for line in re.split(r"[;\n]", commands) if line.strip()]
    if not isinstance(commands, (list, tuple)) or not all(isinstance(line, str) for line in commands):
        raise ArgumentError(f"commands {commands!r} are no text and no list of texts", remedy='pass "n; why g_W[0,1]"')
    return commands


def _count(text: str) -> int:
    """The number that stands behind a command, 1 without one."""
    if text and not (text.isdecimal() and int(text) > 0):
        raise ArgumentError(f"{text!r} is not a number of steps", remedy="write n, or n 3")
    return int(text or 1)
