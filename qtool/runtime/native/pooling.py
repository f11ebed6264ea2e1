"""Native pools (ONNX MaxPool, AveragePool, GlobalAveragePool, opset 22) over stored NHWC codes."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.native.codes import MAX_WIDE_BITS, check_storable, empty, stored_zero
from qtool.runtime.native.epilogue import prepare_epilogue
from qtool.runtime.native.windows import as_images, end_pads, output_extents, window_shape
from qtool.runtime.node import Array, Kernel, Node, reach
from qtool.runtime.pooling import averaged_counts
from qtool.runtime.window import Window

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Epilogue, Executor

_CHANNELS = 64
"""Equal channels of an epilogue that all channels of a pool share."""


def max_pool(node: Node, executor: Executor) -> Kernel:
    """Build the greatest code of each window; padding never wins."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    window = Window.of(node, node.step.integers("kernel_shape"))
    shape = window_shape(node, window)

    def run(x: Array) -> Array:
        out = empty(node, (len(x), *output_extents(node, window, x), x.shape[-1]))
        executor.max_pool(shape, as_images(x), as_images(out))
        return out

    return run


def average_pool(node: Node, executor: Executor) -> Kernel:
    """Build the mean of each window, with or without the padding in it."""
    window = Window.of(node, node.step.integers("kernel_shape"))
    return _averages(node, executor, window, bool(node.step.integer("count_include_pad")))


def global_average_pool(node: Node, executor: Executor) -> Kernel:
    """Build the mean over all spatial axes, which stay with extent 1."""

    def run(x: Array) -> Array:
        extents = x.shape[1:-1]
        ones, zeros = (1,) * len(extents), (0,) * len(extents)
        window = Window(extents, ones, ones, zeros, zeros)
        return np.asarray(_averages(node, executor, window, padding_counts=False)(x))

    return run


def _averages(node: Node, executor: Executor, window: Window, padding_counts: bool) -> Kernel:
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    shape, zero = window_shape(node, window), stored_zero(node.inputs[0])

    def run(x: Array) -> Array:
        extents = output_extents(node, window, x)
        counts = (
            np.unique(averaged_counts(window, x.shape[1:-1], extents, padding_counts)).astype(int).tolist()
        )
        means = prepare_means(node, prod(window.kernel), counts)
        out = empty(node, (len(x), *extents, x.shape[-1]))
        images = as_images(x), as_images(out)
        executor.average_pool(shape, means, padding_counts, end_pads(window), zero, *images)
        return out

    return run


def prepare_means(node: Node, taps: int, counts: list[int]) -> list[Epilogue | None]:
    """Epilogues at the numbers of elements that windows average."""
    if not all(counts):
        node.fail("a window holds nothing but padding")
    scale = np.full(_CHANNELS, np.float64(node.inputs[0].scale))
    means: list[Epilogue | None] = [None] * (taps + 1)
    for count in counts:
        means[count] = prepare_epilogue(node, scale, reach(node.inputs[0]) * taps, count, counts)
    return means


KERNELS = {"average_pool": average_pool, "global_average_pool": global_average_pool, "max_pool": max_pool}
