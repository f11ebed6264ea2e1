"""Pools and means (ONNX MaxPool, AveragePool, GlobalAveragePool, opset 22, and ReduceMean, opset 18)."""

from __future__ import annotations

from math import prod

import numpy as np

from qtool.runtime.epilogue import Epilogue
from qtool.runtime.node import Array, Kernel, Node, reach
from qtool.runtime.window import Window


def max_pool(node: Node) -> Kernel:
    """Build the kernel for the greatest value of each window; padding never wins."""
    window = Window.of(node, node.step.integers("kernel_shape"))
    lowest = -np.inf if node.output.is_float else node.output.qmin

    def run(x: Array) -> Array:
        out = window.output(node, x.shape)
        views = window.taps(window.pad(x, out, lowest), out)
        highest = next(views).copy()
        for view in views:
            np.maximum(highest, view, out=highest)
        return highest

    return run


def average_pool(node: Node) -> Kernel:
    """Build the kernel for the mean of each window, with or without the padding in it."""
    window = Window.of(node, node.step.integers("kernel_shape"))
    padding_counts = bool(node.step.integer("count_include_pad"))
    info = node.inputs[0]
    largest = reach(info) * prod(window.kernel)

    def run(x: Array) -> Array:
        out = window.output(node, x.shape)
        counts = averaged_counts(window, x.shape[2:], out, padding_counts)
        if not counts.all():
            node.fail(f"a window over an input of {x.shape[2:]} holds nothing but padding")
        centred = np.subtract(x, info.zero_point, dtype=np.int32)
        sums = np.zeros((*x.shape[:2], *out), np.int64)
        for view in window.taps(window.pad(centred, out, 0), out):
            sums += view
        return Epilogue(node, np.asarray(np.float64(info.scale)), largest, count=counts[None, None])(sums)

    return run


def averaged_counts(
    window: Window, extents: tuple[int, ...], out: tuple[int, ...], padding_counts: bool
) -> Array:
    """Number of elements that each window averages, of shape `out`."""
    counts = np.ones((), np.float64)
    for axis, extent in enumerate(extents):
        starts = np.arange(out[axis])[:, None] * window.strides[axis] - window.begin[axis]
        places = starts + np.arange(window.kernel[axis]) * window.dilations[axis]
        low, high = (-window.begin[axis], extent + window.end[axis]) if padding_counts else (0, extent)
        counts = counts[..., None] * ((places >= low) & (places < high)).sum(1)
    return counts


def global_average_pool(node: Node) -> Kernel:
    """Build the kernel for the mean over all spatial axes, which stay with extent 1."""
    return lambda x: _mean(node, x, tuple(range(2, x.ndim)), keepdims=True)


def reduce_mean(node: Node) -> Kernel:
    """Build the kernel for the mean over the axes given."""
    axes, keepdims = node.step.integers("axes"), bool(node.step.integer("keepdims"))
    return lambda x: _mean(node, x, axes, keepdims)


def reduce_sum(node: Node) -> Kernel:
    """Build the kernel for the sum over the axes given (ONNX ReduceSum, opset 13)."""
    axes, keepdims = node.step.integers("axes"), bool(node.step.integer("keepdims"))
    info = node.inputs[0]
    scale = np.asarray(np.float64(info.scale))

    def run(x: Array) -> Array:
        count = prod(x.shape[axis] for axis in axes)
        sums = np.asarray(x.sum(axis=axes, dtype=np.int64, keepdims=keepdims)) - count * info.zero_point
        return Epilogue(node, scale, reach(info) * max(count, 1))(sums)

    return run


def _mean(node: Node, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    info = node.inputs[0]
    count = prod(x.shape[axis] for axis in axes)
    if not count:
        node.fail(f"the mean over axes {axes} of an input of shape {x.shape} is empty")
    sums = np.asarray(x.sum(axis=axes, dtype=np.int64, keepdims=keepdims)) - count * info.zero_point
    return Epilogue(node, np.asarray(np.float64(info.scale)), reach(info) * count, count=count)(sums)


KERNELS = {
    "max_pool": max_pool,
    "average_pool": average_pool,
    "global_average_pool": global_average_pool,
    "reduce_mean": reduce_mean,
    "reduce_sum": reduce_sum,
}
