"""Steps that move values, as one copy between two views: Slice, Transpose, Pad, Reshape (ONNX, opset 21)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime import indices, movement
from qtool.runtime.indices import trim_view
from qtool.runtime.movement import slice_view
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape
from qtool.runtime.native_engine.stored import Stored

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Executor
    from qtool.runtime.node import Array, Kernel, Node


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """The output is a view of the first input, copied; codes move as they are stored.

    Attributes:
        view: what it makes of all inputs.
        late: the view may be a copy, so that it is made anew in every run.
    """

    view: Callable[..., Array]
    late: bool = False
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Ask the view of arrays without memory."""
        return self.view(*(np.broadcast_to(np.uint8(0), shape) for shape in inputs)).shape

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take any layout on either side."""
        logical = [item.logical for item in inputs]
        if self.late:
            return partial(_move_late, output.logical, self.view, logical)
        return partial(np.copyto, output.logical, self.view(*logical))


def _move_late(out: Array, view: Callable[..., Array], inputs: Sequence[Array]) -> None:
    np.copyto(out, view(*inputs))


@dataclass(frozen=True, slots=True, eq=False)
class Pad:
    """The input inside of a border of zero points."""

    node: Node
    pads: tuple[int, ...]
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Add the pads."""
        (shape,) = inputs
        rank = len(shape)
        if len(self.pads) != 2 * rank:
            self.node.fail(f"expected {2 * rank} pads for an input of shape {shape}, found {len(self.pads)}")
        extents = (shape, self.pads[:rank], self.pads[rank:])
        return tuple(sum(parts) for parts in zip(*extents, strict=True))

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take any layout on either side."""
        x = inputs[0].logical
        inside = tuple(slice(pad, pad + extent) for pad, extent in zip(self.pads, x.shape, strict=False))
        value = 0 if output.storage.info.is_float else output.storage.zero
        return partial(_framed, output.memory, value, output.logical[inside], x)


def _framed(memory: Array, value: int, inside: Array, x: Array) -> None:
    memory.fill(value)
    np.copyto(inside, x)


def slice_(node: Node, _executor: Executor) -> Prepared:
    """Prepare a Slice."""
    return Move(slice_view(node))


def transpose(node: Node, _executor: Executor) -> Prepared:
    """Prepare a Transpose."""
    perm = node.step.integers("perm")
    return Move(lambda x: x.transpose(perm))


def pad(node: Node, _executor: Executor) -> Prepared:
    """Prepare a Pad."""
    return Pad(node, node.step.integers("pads"))


def rearrange(node: Node, _executor: Executor) -> Prepared:
    """Prepare a step that keeps all values in their order."""
    return Move(_REARRANGED[node.step.op](node), late=True)


def trim(node: Node, _executor: Executor) -> Prepared:
    """Prepare a step that keeps the first elements of some axes."""
    return Move(trim_view(node))


_REARRANGED: dict[str, Callable[[Node], Kernel]] = {
    "reshape": movement.reshape,
    "flatten": movement.flatten,
    "squeeze": movement.squeeze,
    "unsqueeze": movement.unsqueeze,
    "reshape_like": indices.reshape_like,
}
KERNELS = {"slice": slice_, "transpose": transpose, "pad": pad, "trim": trim} | dict.fromkeys(
    _REARRANGED, rearrange
)
