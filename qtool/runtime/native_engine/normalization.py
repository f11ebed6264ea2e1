"""Native softmax and layer normalization along the last axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qtool.runtime.native.normalization import prepare_layer_norm, prepare_softmax
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits
from qtool.runtime.native_engine.stored import Stored

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Executor
    from qtool.runtime.node import Node


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A function of rows.

    Attributes:
        node: the step.
        call: takes rows and an output of the same shape.
        length: of a row; 0 for any.
    """

    node: Node
    call: Callable[..., None]
    length: int = 0
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Keep the shape, whose last axis must be a row."""
        (shape,) = inputs
        if not shape or not shape[-1] or (self.length and shape[-1] != self.length):
            wanted = self.length or "1 or more"
            self.node.fail(f"expected a last axis of {wanted}, found an input of shape {shape}")
        return shape

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take rows that lie one after the other."""
        (x,) = inputs
        if not (x.storage.in_order and output.storage.in_order and fits(x, output)):
            return None
        columns = x.storage.shape[-1]
        return partial(self.call, x.memory.reshape(-1, columns), output.memory.reshape(-1, columns))


def integer_softmax(node: Node, executor: Executor) -> Prepared:
    """Prepare a Softmax."""
    return Rows(node, partial(executor.softmax, prepare_softmax(node)))


def layer_norm(node: Node, executor: Executor) -> Prepared:
    """Prepare a LayerNormalization."""
    return Rows(node, partial(executor.layer_norm, prepare_layer_norm(node)), node.step.integer("length"))


KERNELS = {"integer_softmax": integer_softmax, "layer_norm": layer_norm}
