"""`Rule` and `Finding`: what can be wrong with a model, and where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

    from passes.lint.runtime import Runtime
    from passes.lint.view import View


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """The model does not load, does not run, or gives wrong values without a word."""
    WARNING = "warning"
    """Values are less accurate than the file says, or the model is slower than its float original."""
    NOTE = "note"
    """A part of the model stays in floating point, or is a rounding step away from the file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule found something.

    Attributes:
        node: name of the node; its operator and its result where it has none; empty for the whole model.
        tensor: name of the tensor, or empty.
        message: what was found there.
    """

    node: str
    tensor: str
    message: str


def at(node: onnx.NodeProto, tensor: str, message: str) -> Place:
    """Return a place at a node, whether it has a name or not."""
    return Place(node.name or f"{node.op_type} of {', '.join(node.output[:1])}", tensor, message)


@dataclass(frozen=True, slots=True)
class Rule:
    """One trap.

    Attributes:
        code: ``QT`` and three digits, of which the first is the family; never used again for another trap.
        severity: of all its findings.
        title: the trap in a few words.
        explanation: what ONNX Runtime does, and what follows.
        fix: what to do about it.
        check: yields the places in one graph, nested graphs not included.
        since: first release of ONNX Runtime, (major, minor), in which the trap was seen.
        basic: True when the trap is there at the basic level of optimization as well.
    """

    code: str
    severity: Severity
    title: str
    explanation: str
    fix: str
    check: Callable[[View, Runtime], Iterator[Place]]
    since: tuple[int, int] = (1, 20)
    basic: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a place in a model breaks."""

    rule: Rule
    place: Place
