"""Native softmax and layer normalization along the last axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.native.normalization import prepare_layer_norm, prepare_softmax
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits, run_all
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


@dataclass(frozen=True, slots=True, eq=False)
class MaskedSoftmax:
    """A softmax of what a mask of one bit keeps; the mask is broadcast to the scores.

    Attributes:
        scores: the softmax without the mask, for shapes.
        call: takes the mask's rows, which of them belongs to each row of scores, the scores and the output.
    """

    scores: Rows
    call: Callable[..., None]
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Keep the shape of the scores, which the mask must not exceed."""
        shape = self.scores.shape(inputs[0])
        if np.broadcast_shapes(*inputs) != shape:
            self.scores.node.fail(f"cannot broadcast a mask of shape {inputs[1]} to scores of shape {shape}")
        return shape

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take rows that lie one after the other; a mask of one value for each row is spread out first."""
        x, mask = inputs
        if not (fits(x, mask, output) and all(item.storage.in_order for item in (x, mask, output))):
            return None
        shape = x.storage.shape
        kept = mask.memory.reshape(mask.storage.shape or (1,))
        rows = kept if kept.shape[-1] == shape[-1] else np.empty((*kept.shape[:-1], shape[-1]), kept.dtype)
        numbers = np.arange(prod(kept.shape[:-1]), dtype=np.int32).reshape(kept.shape[:-1])
        chosen = np.ascontiguousarray(np.broadcast_to(numbers, shape[:-1])).reshape(-1)
        views = (item.memory.reshape(-1, shape[-1]) for item in (x, output))
        call = partial(self.call, rows.reshape(-1, shape[-1]), chosen, *views)
        return call if rows is kept else partial(run_all, [partial(np.copyto, rows, kept), call])


def integer_softmax(node: Node, executor: Executor) -> Prepared:
    """Prepare a Softmax, with or without a mask."""
    layer = prepare_softmax(node)
    rows = Rows(node, partial(executor.softmax, layer))
    return rows if len(node.inputs) == 1 else MaskedSoftmax(rows, partial(executor.masked_softmax, layer))


def layer_norm(node: Node, executor: Executor) -> Prepared:
    """Prepare a LayerNormalization."""
    return Rows(node, partial(executor.layer_norm, prepare_layer_norm(node)), node.step.integer("length"))


KERNELS = {"integer_softmax": integer_softmax, "layer_norm": layer_norm}
