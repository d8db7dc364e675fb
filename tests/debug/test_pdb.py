"""Backprop in pdb: how far it is from `loss.backward()` to a formula, and how many lines lie between two of them."""

import sys

import numpy as np
import pytest

import tinygrad_sm as tg
from tests.calls import CALLS, Call, variables
from tests.debug.terminal import Terminal

SCRIPT = """\
import tinygrad_sm as tg

w = tg.Tensor([0.5, -1.0], requires_grad=True, name="w")
loss = (w * w).sum().exp()
breakpoint()
loss.backward()
print("gradient", w.grad)
"""


@pytest.fixture
def terminal(tmp_path):
    (tmp_path / "lesson.py").write_text(SCRIPT, encoding="utf-8")
    with Terminal("lesson.py", folder=tmp_path, prompt="(Pdb) ") as terminal:
        terminal.read()
        yield terminal


def into_backward(terminal):
    """Step into `backward`; Python 3.13 and newer stop at the line of `breakpoint()` itself, one step earlier."""
    shown = terminal.type("s")
    return shown if "--Call--" in shown else terminal.type("s")


def to_the_line(terminal, wanted, commands):
    """Step over lines until the one where a text stands; what pdb printed then."""
    for _ in range(20):
        shown = terminal.type("n")
        commands.append("n")
        if wanted in shown:
            return shown
    raise AssertionError(f"{wanted} not reached, last seen {shown}")


def test_two_frames_lead_to_the_first_formula(terminal):
    entered = [into_backward(terminal)]
    assert "--Call--" in entered[0]
    assert "def backward(" in entered[0]
    commands = []
    to_the_line(terminal, "sweep.contribution = rule(*arguments, **options)", commands)
    assert len(commands) <= 6
    entered.append(terminal.type("s"))
    assert "--Call--" in entered[1]
    assert "exp_vjp_x" in entered[1]
    assert "-> return g * out" in terminal.type("n")
    assert len(entered) == 2
    assert terminal.type("p g, out").split() == ["(array(1.),", "array(3.49034296))"]
    where = terminal.type("w")
    assert where.index("lesson.py(6)") < where.index("backward()") < where.index("exp_vjp_x()")
    assert len([line for line in where.splitlines() if ".py(" in line and "bdb.py" not in line]) == 3


def test_every_further_formula_is_one_frame_away(terminal):
    into_backward(terminal)
    commands = []
    for rule in ("exp_vjp_x", "sum_vjp_x", "multiply_vjp_x"):
        to_the_line(terminal, "sweep.contribution = rule(", commands)
        commands.clear()
        assert rule in terminal.type("s")
        terminal.type("r")  # to the return of the rule
    assert "gradient [ 3.49034296 -6.98068591]" in terminal.end(b"c\n")[0]


def test_the_stepper_opens_at_the_prompt_of_pdb(terminal):
    screen = terminal.type("tg.debug.step(loss)", until="(tape) ")
    assert "BACKWARD 1/3  [3] exp" in screen
    assert "loss = (w * w).sum().exp()" in screen
    assert "BACKWARD 2/3" in terminal.type("n", until="(tape) ")
    assert "g_w[0] = 1.7452 + 1.7452 = 3.4903, as recorded" in terminal.type("why g_w[0]", until="(tape) ")
    assert terminal.type("p w is loss", until="(tape) ") == "False\n"
    shown = terminal.type("pdb")  # a debugger in a stepper in a debugger
    assert "sum_vjp_x" in shown
    assert "np.broadcast_to" in terminal.type("p 1") + terminal.type("l")
    assert "BACKWARD 2/3" in terminal.type("c", until="(tape) ")
    assert terminal.type("resume") == ""
    assert "def backward(" in into_backward(terminal)  # pdb goes on where it was
    text, status = terminal.end(b"c\n")
    assert "gradient [ 3.49034296 -6.98068591]" in text
    assert status == 0


def lines_of(f, functions):
    """How many lines a debugger stops at while a call runs, by name of the function, in those that are asked for."""
    counts = dict.fromkeys(functions, 0)

    def trace(frame, event, argument):
        code = frame.f_code
        if code not in functions:
            return None
        counts[code] += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        f()
    finally:
        sys.settrace(before)
    return counts


def chain(length):
    x = tg.Tensor(0.1, requires_grad=True)
    for _ in range(length):
        x = tg.sin(x)
    return x


def test_a_debugger_stops_at_two_lines_of_the_loop_for_each_rule_and_at_one_of_the_rule():
    backward, rule = tg.Tensor.backward.__code__, tg.ops.sin.rules["x"].__code__
    short, long = (lines_of(chain(n).backward, {backward, rule}) for n in (10, 110))
    assert (long[backward] - short[backward]) / 100 == 2
    assert (long[rule] - short[rule]) / 100 == 1
    assert short[backward] <= 2 * 10 + 12  # all that comes before and after the loop


def lines_of_rules(op, number):
    """How many lines of each rule of an operation run, for each operand of a variadic one."""
    call = Call(op, number)
    out = call(*variables(call.arrays))
    outputs = out if isinstance(out, tuple) else (out,)
    total = sum((each.sum() for each in outputs if each.requires_grad), np.zeros(()))
    operands = len(call.arrays) if op.variadic else 1
    counts = lines_of(total.backward, {rule.__code__ for rule in op.rules.values()})
    return [count / operands for count in counts.values() if count]


def test_a_rule_is_a_few_lines_and_most_are_one():
    counts = [count for op, number in CALLS for count in lines_of_rules(op, number)]
    assert len(counts) >= len(CALLS)
    assert min(counts) >= 1
    assert max(counts) <= 10
    assert np.quantile(counts, 0.95) <= 5
    assert np.median(counts) == 1
