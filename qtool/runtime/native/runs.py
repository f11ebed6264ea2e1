"""Sums of weights whose groups have multipliers, a few columns at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.numerics import unpack_gemm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact import PackedWeight
    from passes.artifact.runs import Runs

COLUMNS = 16
"""Columns that lie together in a packed matrix."""


def inner_extent(weight: PackedWeight) -> int:
    """Return the input channels of a packed matrix, which come last in stored order."""
    return weight.shape[weight.layout.order(len(weight.shape))[-1]]


def run_sums(weight: PackedWeight, runs: Runs, n: int, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sums of multiplied codes, and of their magnitudes, for each column.

    Args:
        weight: a packed matrix without zero points.
        runs: its multipliers.
        n: columns.
        k: inner extent, taps x input channels.
    """
    inner = inner_extent(weight)
    sums, magnitudes = np.empty((2, n), np.int64)
    blocks = weight.data.reshape(-(-n // COLUMNS), -1)
    for index, block in enumerate(blocks):
        part = slice(index * COLUMNS, min(n, (index + 1) * COLUMNS))
        codes = unpack_gemm(block, weight.format, len(sums[part]), k).astype(np.int32)
        each = codes.reshape(len(codes), k // inner, inner)
        spread = np.repeat(runs.multiplier[part].reshape(len(codes), k // inner, -1), runs.size, axis=-1)
        values = each * spread[..., :inner]
        sums[part] = values.sum(axis=(1, 2), dtype=np.int64)
        magnitudes[part] = np.abs(values).sum(axis=(1, 2), dtype=np.int64)
    return sums, magnitudes
