"""Native pools and means over images whose channels come last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.native.codes import MAX_WIDE_BITS, check_storable
from qtool.runtime.native.pooling import prepare_means
from qtool.runtime.native.windows import as_images, end_pads, window_shape
from qtool.runtime.native_engine import reduce
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits
from qtool.runtime.native_engine.stored import Stored
from qtool.runtime.node import Node
from qtool.runtime.pooling import averaged_counts
from qtool.runtime.window import Window

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Executor, WindowShape


@dataclass(frozen=True, slots=True, eq=False)
class MaxPool:
    """The greatest code of each window."""

    node: Node
    executor: Executor
    window: Window
    native: WindowShape
    channels_last: bool = True
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Count the windows."""
        (shape,) = inputs
        return (*shape[:2], *self.window.output(self.node, shape))

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take images of one to three spatial axes."""
        (x,) = inputs
        if not fits(x, output):
            return None
        images = as_images(x.memory), as_images(output.memory)
        return partial(self.executor.max_pool, self.native, *images)


@dataclass(frozen=True, slots=True, eq=False)
class AveragePool:
    """The mean of each window, with or without the padding in it."""

    node: Node
    executor: Executor
    window: Window
    native: WindowShape
    padding_counts: bool
    channels_last: bool = True
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Count the windows, none of which may hold nothing but padding."""
        (shape,) = inputs
        out = self.window.output(self.node, shape)
        if not averaged_counts(self.window, shape[2:], out, self.padding_counts).all():
            self.node.fail(f"a window over an input of {shape[2:]} holds nothing but padding")
        return (*shape[:2], *out)

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Prepare an epilogue for every number of averaged elements that occurs."""
        (x,) = inputs
        spatial = x.storage.shape[2:], output.storage.shape[2:]
        counts = np.unique(averaged_counts(self.window, *spatial, self.padding_counts)).astype(int)
        if not fits(x, output):
            return None
        means = prepare_means(self.node, prod(self.window.kernel), counts.tolist())
        parts = means, self.padding_counts, end_pads(self.window), x.storage.zero
        images = as_images(x.memory), as_images(output.memory)
        return partial(self.executor.average_pool, self.native, *parts, *images)


@dataclass(frozen=True, slots=True, eq=False)
class Mean:
    """The mean of each whole image, as a pool with one window."""

    node: Node
    executor: Executor
    keepdims: bool
    channels_last: bool = True
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Shrink the spatial axes to 1, or leave them out."""
        (shape,) = inputs
        if not prod(shape[2:]):
            self.node.fail(f"the mean over an input of shape {shape} is empty")
        return (*shape[:2], *[1] * (len(shape) - 2)) if self.keepdims else shape[:2]

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Prepare the epilogue for the number of elements of an image."""
        (x,) = inputs
        if len(x.storage.shape) not in {3, 4, 5} or not x.storage.channels_last or not fits(x, output):
            return None
        images = as_images(x.memory)
        kernel = images.shape[1:-1]
        means = prepare_means(self.node, prod(kernel), [prod(kernel)])
        from qtool.runtime.native._kernels import WindowShape

        whole = WindowShape(kernel, (1, 1, 1), (1, 1, 1), (0, 0, 0))
        parts = means, False, (0, 0, 0), x.storage.zero
        return partial(
            self.executor.average_pool, whole, *parts, images, output.memory.reshape(len(images), 1, 1, 1, -1)
        )


def max_pool(node: Node, executor: Executor) -> Prepared:
    """Prepare a MaxPool."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    window = Window.of(node, node.step.integers("kernel_shape"))
    return MaxPool(node, executor, window, window_shape(node, window))


def average_pool(node: Node, executor: Executor) -> Prepared:
    """Prepare an AveragePool."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    window = Window.of(node, node.step.integers("kernel_shape"))
    padding_counts = bool(node.step.integer("count_include_pad"))
    return AveragePool(node, executor, window, window_shape(node, window), padding_counts)


def global_average_pool(node: Node, executor: Executor) -> Prepared:
    """Prepare a GlobalAveragePool."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    return Mean(node, executor, keepdims=True)


def reduce_mean(node: Node, executor: Executor) -> Prepared | None:
    """Prepare a ReduceMean: over exactly the spatial axes of images as a pool, over other ones by rows."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    rank = len(node.inputs[0].shape)
    if sorted(axis % max(1, rank) for axis in node.step.integers("axes")) != [*range(2, rank)]:
        return reduce.reduce_mean(node, executor)
    return Mean(node, executor, bool(node.step.integer("keepdims")))


KERNELS = {
    "max_pool": max_pool,
    "average_pool": average_pool,
    "global_average_pool": global_average_pool,
    "reduce_mean": reduce_mean,
}
