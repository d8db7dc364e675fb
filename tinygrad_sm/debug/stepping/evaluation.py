"""Expressions that are typed at a step: the names they may use, and which gradients have arrived by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_sm.debug.recording import Recording, Step
from tinygrad_sm.debug.text import NOT_YET
from tinygrad_sm.engine.tape import Edge
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.location import user_frame


def variables_of_user() -> dict[str, Any]:
    """The variables that the user's function sees which is running; its frame is not kept."""
    frame = user_frame()
    return {**frame.f_globals, **frame.f_locals} if frame else {}


def evaluate(text: str, step: Step, variables: Mapping[str, Any]) -> Any:
    """The value of an expression at a step; ArgumentError with what Python says where it has none."""
    if not text:
        raise ArgumentError("which expression?", remedy="write p g.shape, or the names in the rule")
    try:
        return eval(text, namespace(step, variables))
    except NameError as error:
        if error.name in _gradient_names(step.recording) or error.name == "g":
            raise ArgumentError(f"{NOT_YET} ({error.name} is not computed yet)") from error
        raise ArgumentError(f"NameError: {error}") from error
    except (Exception, SystemExit) as error:  # whatever an expression raises, the session goes on
        raise ArgumentError(f"{type(error).__name__}: {error}") from error


def namespace(step: Step, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a name stands for at a step: an array of the recording, an operand by the name in the rule, a variable."""
    recording, node = step.recording, step.node
    found = {**variables, **_operands(step), **dict(recording.names.values()), "np": np, "out": node.out}
    for name in (*_gradient_names(recording), "g"):
        found.pop(name, None)
    if step.phase == "backward":
        found["g"] = step.cotangent
    return found | {recording.names.gradient(edge): g for edge, g in arrived(step).items()}


def arrived(step: Step) -> dict[Edge, Any]:
    """The cotangents that have arrived by a step, this one included; the sum so far where more is to come."""
    if step.phase == "forward":
        return {}
    recording = step.recording
    found = {recording.edge: recording.seed}
    for earlier in recording.backward[: step.index - recording.backward[0].index + 1]:
        found |= {each.edge: each.total for each in earlier.contributions}
    return found


def _operands(step: Step) -> dict[str, Any]:
    """The arguments of the operation by the names in its rules."""
    node, op = step.node, step.op
    if op.variadic:
        return {op.parameters[0]: node.args, **node.kwargs}
    return dict(zip(op.parameters, node.args, strict=False)) | node.kwargs


def _gradient_names(recording: Recording) -> dict[str, Edge]:
    return {recording.names.gradient(edge): edge for edge in recording.edges_named().values()}
