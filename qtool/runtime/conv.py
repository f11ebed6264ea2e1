"""Convolutions (ONNX Conv, opset 11), exact: dense ones as matrix products, depthwise ones tap by tap."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from passes.artifact import WeightLayout
from qtool.runtime.epilogue import Epilogue
from qtool.runtime.exact import ExactProduct, exact_dtype
from qtool.runtime.node import Array, Kernel, Node, reach
from qtool.runtime.tiles import tiles
from qtool.runtime.weights import Weights
from qtool.runtime.window import Window

COLUMN_ELEMENTS = 1 << 22
"""Elements of the im2col matrix of one block: 16 MB in float32."""


def conv(node: Node) -> Kernel:
    """Build the kernel for a convolution with one to any number of spatial axes."""
    window = Window.of(node, node.weight.shape[2:])
    weights = Weights.of(node)
    scale = weights.scale_shape(2 + len(window.kernel))
    epilogue = Epilogue(node, weights.scale.reshape(scale), weights.largest, weights.bias.reshape(scale))
    if node.weight.layout is WeightLayout.DEPTHWISE:
        return _depthwise(node, window, weights, epilogue)
    return _dense(node, window, weights, epilogue)


def _dense(node: Node, window: Window, weights: Weights, epilogue: Epilogue) -> Kernel:
    """Multiply (group, out, taps x in) weights with the im2col matrix (batch, group, taps x in, windows)."""
    group = node.step.integer("group")
    matrix = weights.codes.reshape(group, weights.channels // group, -1)
    depth = matrix.shape[2]
    product = ExactProduct.plan(reach(node.inputs[0]) * weights.peak, depth, weights.largest)

    def run(x: Array) -> Array:
        _check_channels(node, x, group * node.weight.shape[1])
        out_extents = window.output(node, x.shape)
        out = np.empty((len(x), weights.channels, *out_extents), node.output.dtype)
        left = matrix.astype(product.dtype)
        for images, rows in _blocks(len(x), out_extents, group * depth):
            centred = np.subtract(x[images], node.inputs[0].zero_point, dtype=product.dtype)
            columns = _columns(centred, window, out_extents, rows, group)
            view = out[images, :, rows]
            epilogue.write(product(left, columns).reshape(view.shape), view)
        return out

    return run


def _columns(x: Array, window: Window, out: tuple[int, ...], rows: slice, group: int) -> Array:
    """Return the im2col matrix (batch, group, taps x in, windows) of the given rows of windows."""
    batch, channels = x.shape[:2]
    inner = channels // group
    if window.is_point:
        return x[:, :, rows].reshape(batch, group, inner, -1)
    counts = (len(range(out[0])[rows]), *out[1:])
    columns = np.empty((batch, group, prod(window.kernel), inner, *counts), x.dtype)
    for tap, view in enumerate(window.taps(window.pad(x, out, 0), out, rows)):
        columns[:, :, tap] = view.reshape(batch, group, inner, *counts)
    return columns.reshape(batch, group, -1, prod(counts))


def _blocks(batch: int, out: tuple[int, ...], depth: int) -> Iterator[tuple[slice, slice]]:
    """Cut batch and rows of windows so that an im2col matrix has about `COLUMN_ELEMENTS` elements at most."""
    per_row = depth * prod(out[1:])
    rows = min(out[0], max(1, COLUMN_ELEMENTS // per_row))
    images = max(1, COLUMN_ELEMENTS // (per_row * rows))
    for start in range(0, batch, images):
        for top in range(0, out[0], rows):
            yield slice(start, start + images), slice(top, top + rows)


def _depthwise(node: Node, window: Window, weights: Weights, epilogue: Epilogue) -> Kernel:
    """Multiply and add tap by tap, with (taps, out) weights; a tile stays in the cache meanwhile."""
    inner = node.step.integer("group")
    repeats = weights.channels // inner
    dtype = exact_dtype(weights.largest)
    taps = weights.codes.reshape(-1, 1, weights.channels, *[1] * len(window.kernel)).astype(dtype)

    def run(x: Array) -> Array:
        _check_channels(node, x, inner)
        out_extents = window.output(node, x.shape)
        spread = np.repeat(x, repeats, axis=1) if repeats > 1 else x
        out = np.empty((len(x), weights.channels, *out_extents), node.output.dtype)
        limit = max(1, (1 << 15) // prod(out_extents))
        for outer in tiles(out.shape[:2], limit):
            tile = (*outer, slice(None))[:2]
            centred = np.subtract(spread[tile], node.inputs[0].zero_point, dtype=dtype)
            padded = window.pad(centred, out_extents, 0)
            sums = _weighted_sum(window, padded, out_extents, taps[:, :, tile[1]])
            epilogue.write_tile(sums, out, tile)
        return out

    return run


def _weighted_sum(window: Window, padded: Array, out: tuple[int, ...], taps: Array) -> Array:
    sums = np.zeros((*padded.shape[:2], *out), padded.dtype)
    term = np.empty_like(sums)
    for view, tap in zip(window.taps(padded, out), taps, strict=True):
        np.multiply(view, tap, out=term)
        sums += term
    return sums


def _check_channels(node: Node, x: Array, expected: int) -> None:
    if x.ndim < 3 or x.shape[1] != expected:
        node.fail(f"expected {expected} input channels, found an input of shape {x.shape}")


KERNELS = {"conv": conv}
