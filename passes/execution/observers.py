"""Observers: what is remembered of an activation; memory does not grow with the number of samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from passes.ir.window import ConvWindow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.layers import Layer

MAX_PATCH_BYTES = 1 << 23
"""Memory for the patches of one layer."""
PATCHES_PER_SAMPLE = 8


@dataclass(slots=True)
class RangeObserver:
    """Running minimum and maximum."""

    low: float = np.inf
    high: float = -np.inf

    def update(self, low: float, high: float) -> None:
        """Widen the range."""
        self.low, self.high = min(self.low, low), max(self.high, high)


@dataclass(slots=True)
class MeanObserver:
    """Running mean of each channel, weighted by samples."""

    total: NDArray[np.float64] | float = 0.0
    samples: int = 0

    def update(self, mean: NDArray[np.float32], samples: int) -> None:
        """Add the means of one batch."""
        self.total = self.total + mean.astype(np.float64) * samples
        self.samples += samples

    def value(self) -> NDArray[np.float64]:
        """Return the mean over everything seen, shape (channels,)."""
        return np.asarray(self.total / self.samples)


@dataclass(slots=True)
class PatchObserver:
    """Columns of the matrix that a layer multiplies: a bounded, evenly thinned sample of its inputs.

    Attributes:
        layer: whose input is observed.
        rows: float32 arrays of shape (positions, groups, depth), one per kept sample.
    """

    layer: Layer
    rows: list[NDArray[np.float32]] = field(default_factory=list)
    seen: int = 0
    stride: int = 1

    def update(self, batch: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Take patches at random positions from every `stride`-th sample; thin out when memory is full."""
        for sample in batch:
            if self.seen % self.stride == 0:
                self.rows.append(patches(self.layer, sample, PATCHES_PER_SAMPLE, rng))
                if sum(row.nbytes for row in self.rows) > MAX_PATCH_BYTES:
                    self.rows = self.rows[::2]
                    self.stride *= 2
            self.seen += 1

    def matrix(self) -> NDArray[np.float32]:
        """Return all patches, shape (samples, positions, groups, depth)."""
        return np.stack(self.rows)


def patches(
    layer: Layer, sample: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return what a layer multiplies at some of its output positions.

    Args:
        layer: Conv, ConvTranspose, Gemm or MatMul with constant weights.
        sample: its input for one sample, without the batch axis.
        count: number of positions, drawn with replacement.
        rng: source of positions.

    Returns:
        float32 of shape (count, groups, depth), depth in the order of the weight's input axes
        (channels, then kernel); for ConvTranspose depth runs over channels only.
    """
    if layer.op in ("Gemm", "MatMul"):
        flat = sample.reshape(-1, sample.shape[-1]) if sample.ndim else sample.reshape(1, 1)
        return flat[rng.integers(len(flat), size=count)][:, None, :]
    if layer.op == "ConvTranspose":
        columns = sample.reshape(sample.shape[0], -1).T[rng.integers(sample[0].size, size=count)]
        return columns.reshape(count, layer.groups, -1)
    return _conv_patches(layer, sample, count, rng)


def _conv_patches(
    layer: Layer, sample: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    window = ConvWindow.of(layer, sample.shape[1:])
    padded = np.pad(sample, [(0, 0), *window.pads])
    picked = np.empty((count, *window.kernel, sample.shape[0]), dtype=np.float32)
    for index in range(count):
        start = [
            int(rng.integers(size)) * step for size, step in zip(window.out, window.strides, strict=True)
        ]
        region = tuple(
            slice(first, first + (size - 1) * dilation + 1, dilation)
            for first, size, dilation in zip(start, window.kernel, window.dilations, strict=True)
        )
        picked[index] = np.moveaxis(padded[(slice(None), *region)], 0, -1)
    grouped = np.moveaxis(picked, -1, 1).reshape(count, layer.groups, -1)
    return np.ascontiguousarray(grouped)
