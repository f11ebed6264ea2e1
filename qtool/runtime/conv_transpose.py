"""Transposed convolutions (ONNX ConvTranspose, opset 11): an exact matrix product per tap, added in place."""

from __future__ import annotations

import numpy as np

from qtool.runtime.epilogue import Epilogue
from qtool.runtime.exact import ExactProduct, exact_dtype
from qtool.runtime.node import Array, Kernel, Node, reach
from qtool.runtime.weights import Weights
from qtool.runtime.window import Window


def conv_transpose(node: Node) -> Kernel:
    """Build the kernel; ``pads`` crop the result and ``output_padding`` extends it."""
    window = Window.of(node, node.weight.shape[2:])
    extra = node.step.integers("output_padding")
    if len(extra) != len(window.kernel):
        node.fail(f"expected {len(window.kernel)} entries in output_padding, found {len(extra)}")
    weights = Weights.of(node)
    shape = weights.scale_shape(2 + len(window.kernel))
    epilogue = Epilogue(node, weights.scale.reshape(shape), weights.largest, weights.bias.reshape(shape))
    group, rank = node.step.integer("group"), len(window.kernel)
    split = weights.codes.reshape(group, weights.channels // group, *weights.codes.shape[1:])
    by_tap = np.ascontiguousarray(np.moveaxis(split, (0, 1), (rank, rank + 1)))
    depth = by_tap.shape[-1]
    product = ExactProduct.plan(reach(node.inputs[0]) * weights.peak, depth, weights.largest)

    def run(x: Array) -> Array:
        if x.ndim != rank + 2 or x.shape[1] != node.weight.shape[0]:
            node.fail(f"expected {node.weight.shape[0]} input channels, found an input of shape {x.shape}")
        full = full_extents(window, x.shape[2:], extra)
        node.check_size([len(x), weights.channels, *full])
        sums = np.zeros((len(x), weights.channels, *full), exact_dtype(weights.largest))
        centred = np.subtract(x, node.inputs[0].zero_point, dtype=product.dtype)
        columns = centred.reshape(len(x), group, depth, -1)
        for view, tap in zip(window.taps(sums, x.shape[2:]), np.ndindex(window.kernel), strict=True):
            partial = product(by_tap[tap].astype(product.dtype), columns)
            np.add(view, partial.reshape(view.shape), out=view)
        return epilogue(sums[crop(node, window, full)])

    return run


def full_extents(window: Window, extents: tuple[int, ...], extra: tuple[int, ...]) -> tuple[int, ...]:
    """Extents of the result before its pads are cropped."""
    parts = zip(extents, window.strides, window.spans, extra, strict=True)
    return tuple((extent - 1) * stride + span + more for extent, stride, span, more in parts)


def crop(node: Node, window: Window, full: tuple[int, ...]) -> tuple[slice, ...]:
    """Index that removes the pads; raises `ArtifactError` when nothing would be left."""
    stops = tuple(extent - end for extent, end in zip(full, window.end, strict=True))
    if any(begin >= stop for begin, stop in zip(window.begin, stops, strict=True)):
        node.fail(f"pads {window.begin + window.end} leave nothing of a result of {full}")
    spatial = (slice(begin, stop) for begin, stop in zip(window.begin, stops, strict=True))
    return (slice(None), slice(None), *spatial)


KERNELS = {"conv_transpose": conv_transpose}
