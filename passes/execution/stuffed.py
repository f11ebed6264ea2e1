"""A ConvTranspose (ONNX, opset 11) as a convolution: its input with zeros between the elements.

Element i of the input meets kernel position k in element ``i * stride + k * dilation - pad`` of the result.
So a result is a window, read backwards, over the input spread out to every stride-th place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.ir.window import ConvWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.ir.layers import Layer


def implicit_padding(layer: Layer) -> bool:
    """Return whether a layer is a ConvTranspose whose padding follows from the size of its result."""
    attrs = layer.node.attrs
    if layer.op != "ConvTranspose":
        return False
    return bool(attrs.get("output_shape")) or attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")


def transposed_window(layer: Layer, spatial: Sequence[int]) -> ConvWindow:
    """Return the window over the spread input; a negative padding crops it.

    Args:
        layer: a ConvTranspose without `implicit_padding`.
        spatial: extents of its input.
    """
    attrs, kernel = layer.node.attrs, layer.weight.shape[2:]  # type: ignore[union-attr]
    rank = len(kernel)
    strides, dilations = (tuple(attrs.get(name) or [1] * rank) for name in ("strides", "dilations"))
    more = attrs.get("output_padding") or [0] * rank
    cut = attrs.get("pads") or [0] * (2 * rank)
    reach = [(size - 1) * step for size, step in zip(kernel, dilations, strict=True)]
    pads = tuple(
        (reach[axis] - cut[axis], reach[axis] - cut[axis + rank] + more[axis]) for axis in range(rank)
    )
    out = tuple(
        (size - 1) * stride + 1 + sum(pad) - far
        for size, stride, pad, far in zip(spatial, strides, pads, reach, strict=True)
    )
    return ConvWindow(tuple(kernel), (1,) * rank, dilations, pads, out)


def stuffed(layer: Layer, batch: NDArray[Any], zero: int = 0) -> tuple[NDArray[Any], ConvWindow]:
    """Spread a batch of inputs out, and crop it where the window asks for that.

    Args:
        layer: a ConvTranspose without `implicit_padding`.
        batch: shape (samples, channels, extents...).
        zero: what stands for zero in the batch.

    Returns:
        The spread batch in its element type, and the window, whose paddings are not negative.
    """
    window = transposed_window(layer, batch.shape[2:])
    strides = layer.node.attrs.get("strides") or [1] * len(window.kernel)
    extents = [(size - 1) * step + 1 for size, step in zip(batch.shape[2:], strides, strict=True)]
    spread = np.full((*batch.shape[:2], *extents), zero, dtype=batch.dtype)
    every: tuple[Any, ...] = (..., *(slice(None, None, step) for step in strides))
    spread[every] = batch
    kept: tuple[Any, ...] = (
        ...,
        *(slice(max(-a, 0), size - max(-b, 0)) for (a, b), size in zip(window.pads, extents, strict=True)),
    )
    pads = tuple((max(before, 0), max(behind, 0)) for before, behind in window.pads)
    return spread[kept], ConvWindow(window.kernel, window.strides, window.dilations, pads, window.out)
