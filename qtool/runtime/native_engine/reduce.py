"""Native sums and means over axes that follow each other (ONNX ReduceSum, opset 13, ReduceMean, opset 18)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.native.codes import MAX_WIDE_BITS, check_storable
from qtool.runtime.native.epilogue import prepare_epilogue
from qtool.runtime.native.pooling import prepare_means
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits
from qtool.runtime.native_engine.stored import Stored
from qtool.runtime.node import Node, reach

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Epilogue, Executor

MAX_COUNT = 1 << 12
"""Greatest extent of a window of the native pools."""
_CHANNELS = 64
"""Equal channels of an epilogue that all columns share."""


@dataclass(frozen=True, slots=True, eq=False)
class Reduce:
    """A pool with one window over the axes, where what lies before them counts images and behind, channels.

    Attributes:
        node: the step.
        executor: what runs it.
        axes: the first one, and one behind the last.
        epilogues: gives the epilogue for a number of elements, at that number.
    """

    node: Node
    executor: Executor
    axes: tuple[int, int]
    epilogues: Callable[[int], list[Epilogue | None]]
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Shrink the axes to 1, or leave them out; a mean of nothing is refused."""
        (shape,) = inputs
        first, last = self.axes
        if len(shape) < last:
            self.node.fail(f"there is no axis {last - 1} in an input of shape {shape}")
        if self.node.step.op == "reduce_mean" and not prod(shape[first:last]):
            self.node.fail(f"the mean over an input of shape {shape} is empty")
        kept = (1,) * (last - first) if self.node.step.integer("keepdims") else ()
        return (*shape[:first], *kept, *shape[last:])

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take tensors whose axes lie in their order."""
        (x,) = inputs
        first, last = self.axes
        shape = x.storage.shape
        before, count, behind = prod(shape[:first]), prod(shape[first:last]), prod(shape[last:])
        in_order = x.storage.in_order and output.storage.in_order
        if not (in_order and fits(x, output) and count <= MAX_COUNT):
            return None
        from qtool.runtime.native._kernels import WindowShape

        window = WindowShape((1, 1, count), (1, 1, 1), (1, 1, 1), (0, 0, 0))
        parts = self.epilogues(count), False, (0, 0, 0), x.storage.zero
        images = x.memory.reshape(before, 1, 1, count, behind), output.memory.reshape(before, 1, 1, 1, behind)
        return partial(self.executor.average_pool, window, *parts, *images)


def reduce_mean(node: Node, executor: Executor) -> Prepared | None:
    """Prepare a ReduceMean."""
    return _reduce(node, executor, lambda count: prepare_means(node, count, [count]))


def reduce_sum(node: Node, executor: Executor) -> Prepared | None:
    """Prepare a ReduceSum."""
    scale = np.full(_CHANNELS, np.float64(node.inputs[0].scale))

    def epilogues(count: int) -> list[Epilogue | None]:
        largest = reach(node.inputs[0]) * count
        return [*[None] * count, prepare_epilogue(node, scale, largest)]

    return _reduce(node, executor, epilogues)


def _reduce(
    node: Node, executor: Executor, epilogues: Callable[[int], list[Epilogue | None]]
) -> Prepared | None:
    """Prepare a reduction; ``None`` where its axes do not follow each other."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    rank = len(node.inputs[0].shape)
    axes = sorted(axis % max(1, rank) for axis in node.step.integers("axes"))
    if not axes or axes != [*range(axes[0], axes[0] + len(axes))]:
        return None
    return Reduce(node, executor, (axes[0], axes[-1] + 1), epilogues)


KERNELS = {"reduce_sum": reduce_sum}
