"""Exact integer matrix products on floating-point BLAS.

A float32 holds every integer up to 2**24, so a sum of products is exact, in whatever order BLAS adds, as
long as the sum of their magnitudes stays below that. Longer sums are cut along the inner axis and the parts
added in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qtool.runtime.node import Array

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53
SHORTEST_CHUNK = 32


@dataclass(frozen=True, slots=True)
class ExactProduct:
    """A way to multiply matrices of integers.

    Attributes:
        dtype: floating-point type of the operands.
        chunk: greatest inner extent of one product.
    """

    dtype: type[np.float32] | type[np.float64]
    chunk: int

    @classmethod
    def plan(cls, peak: int, depth: int, largest: int) -> ExactProduct:
        """Choose type and chunk.

        Args:
            peak: greatest magnitude of one product.
            depth: inner extent.
            largest: greatest possible sum of the magnitudes of all products of one result.
        """
        if largest <= FLOAT32_EXACT:
            return cls(np.float32, max(depth, 1))
        chunk = FLOAT32_EXACT // peak
        if chunk >= min(SHORTEST_CHUNK, depth):
            return cls(np.float32, chunk)
        return cls(np.float64, FLOAT64_EXACT // peak)

    def __call__(self, left: Array, right: Array) -> NDArray[np.floating]:
        """Return ``left @ right`` for integers held in `dtype`; in float64 when there are several chunks."""
        depth = left.shape[-1]
        if depth <= self.chunk:
            return np.asarray(left @ right)
        total: NDArray[np.floating] | None = None
        for start in range(0, depth, self.chunk):
            stop = start + self.chunk
            product = left[..., start:stop] @ right[..., start:stop, :]
            total = product.astype(np.float64) if total is None else np.add(total, product, out=total)
        return np.empty(0) if total is None else total


def exact_dtype(largest: int) -> type[np.float32] | type[np.float64]:
    """Smallest floating-point type that holds every integer up to this magnitude (below 2**53)."""
    return np.float32 if largest <= FLOAT32_EXACT else np.float64
