"""The vectors that a layer multiplies, for a batch of its inputs: im2col at chosen positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from passes.execution.stuffed import stuffed, transposed_window
from passes.ir.window import ConvWindow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.layers import Layer

_WINDOWED = ("Conv", "ConvTranspose")


def choose_positions(
    layer: Layer, shape: tuple[int, ...], count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw output positions of each sample without replacement, all of them when there are no more.

    Args:
        layer: with constant weights.
        shape: of a batch of its inputs.
        count: largest number for each sample; the rows of a Gemm and the steps of a recurrent layer count as
            positions of one sample.
        rng: source of positions.

    Returns:
        Shape (samples, positions).
    """
    samples = shape[0] if layer.op in _WINDOWED else 1
    total = _position_count(layer, shape)
    if layer.op not in _WINDOWED:
        count *= shape[1 if layer.recurrent else 0] if len(shape) > 1 else 1
    if total <= count:
        return np.broadcast_to(np.arange(total), (samples, total))
    return np.stack([rng.choice(total, size=count, replace=False, shuffle=False) for _ in range(samples)])


def columns(layer: Layer, batch: NDArray[Any], positions: NDArray[np.intp], zero: int = 0) -> NDArray[Any]:
    """Return what a layer multiplies at some of its output positions, in the element type of the batch.

    Args:
        layer: with constant weights; of a recurrent one, its input is meant.
        batch: a batch of its inputs.
        positions: from `choose_positions`.
        zero: what stands for zero in the batch.

    Returns:
        Shape (groups, vectors, depth), depth in the order of `passes.ir.layers.weight_matrix`.
    """
    if layer.op not in _WINDOWED:
        return np.ascontiguousarray(batch.reshape(-1, batch.shape[-1])[positions[0]])[None]
    if layer.op == "ConvTranspose":
        spread, window = stuffed(layer, batch, zero)
        turned: tuple[Any, ...] = (..., *[slice(None, None, -1)] * len(window.kernel))
        return _by_group(layer, _patches(spread, window, positions, zero)[turned])
    window = ConvWindow.of(layer, batch.shape[2:])
    if max(window.kernel) == 1 and not any(map(any, window.pads)):
        found = _points(batch, window, positions)
    else:
        found = _patches(batch, window, positions, zero)
    return _by_group(layer, found)


def _by_group(layer: Layer, found: NDArray[Any]) -> NDArray[Any]:
    """Turn (samples, positions, channels, kernel...) into (groups, vectors, depth)."""
    vectors = found.shape[0] * found.shape[1]
    return found.reshape(vectors, layer.groups, -1).transpose(1, 0, 2)


def _position_count(layer: Layer, shape: tuple[int, ...]) -> int:
    if layer.op not in _WINDOWED:
        return int(np.prod(shape[:-1]))
    window = transposed_window if layer.op == "ConvTranspose" else ConvWindow.of
    return int(np.prod(window(layer, shape[2:]).out))


def _points(batch: NDArray[Any], window: ConvWindow, positions: NDArray[np.intp]) -> NDArray[Any]:
    """Return (samples, positions, channels) of a pointwise convolution."""
    strided = batch[(slice(None), slice(None), *(slice(None, None, step) for step in window.strides))]
    flat = strided.reshape(*batch.shape[:2], -1)
    return np.asarray(np.take_along_axis(flat, positions[:, None, :], 2).transpose(0, 2, 1))


def _patches(batch: NDArray[Any], window: ConvWindow, positions: NDArray[np.intp], zero: int) -> NDArray[Any]:
    """Return (samples, positions, channels, kernel...)."""
    padded = np.pad(batch, [(0, 0), (0, 0), *window.pads], constant_values=zero)
    reach = [(size - 1) * step + 1 for size, step in zip(window.kernel, window.dilations, strict=True)]
    axes = tuple(range(2, batch.ndim))
    view = sliding_window_view(padded, reach, axes)
    taps = tuple(slice(None, None, step) for step in window.dilations)
    every: tuple[Any, ...] = (..., *taps)
    view = view[every]
    at = np.unravel_index(positions, window.out)
    starts = tuple(index * step for index, step in zip(at, window.strides, strict=True))
    # Indices apart from each other bring their axes to the front: (samples, positions, channels, taps).
    picked: tuple[Any, ...] = (np.arange(len(batch))[:, None], slice(None), *starts)
    return np.asarray(view[picked])
