"""`Moments`: running second moments of what a layer multiplies, with and without quantization before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


ROUNDED = 1e-5
"""Variance over mean square that counts as rounding of sums in float32."""


class Moments:
    """Sums over vectors x of the quantized network and their counterparts y of the float network.

    Products of one batch are formed in float32, by BLAS, and added up in float64.

    Attributes:
        count: vectors seen.
    """

    def __init__(self) -> None:
        """Start from nothing."""
        self.count, self._total = 0, 0.0
        self._sums: list[Matrix] = []

    def update(
        self,
        seen: NDArray[np.float32],
        reference: NDArray[np.float32],
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        """Add vectors, each of shape (groups, vectors, depth), with weights of shape (vectors,)."""
        weighted = seen if weights is None else seen * weights[:, None]
        transposed = weighted.transpose(0, 2, 1)
        aim = reference if weights is None else reference * weights[:, None]
        parts = [
            weighted.sum(axis=1, dtype=np.float64),
            aim.sum(axis=1, dtype=np.float64),
            (transposed @ seen).astype(np.float64),
            (transposed @ reference).astype(np.float64),
        ]
        self._sums = [old + new for old, new in zip(self._sums, parts, strict=True)] if self._sums else parts
        self.count += seen.shape[1]
        self._total += seen.shape[1] if weights is None else float(weights.sum(dtype=np.float64))

    @property
    def groups(self) -> int:
        """Number of groups of the vectors seen."""
        return len(self._sums[0])

    def finite(self) -> bool:
        """Return whether nothing seen was NaN or infinite."""
        return all(np.isfinite(total).all() for total in self._sums)

    def means(self) -> tuple[Matrix, Matrix]:
        """Return the means of x and of y, each (groups, depth)."""
        return self._sums[0] / self._total, self._sums[1] / self._total

    def products(self, *, centred: bool) -> tuple[Matrix, Matrix]:
        """Return ``E[x x^T]`` and ``E[x y^T]``, (groups, depth, depth), about zero or about the means.

        What varies by no more than float32 rounds has no moments about its mean.
        """
        own, cross = self._sums[2] / self._total, self._sums[3] / self._total
        if centred:
            x, y = self.means()
            squares = np.einsum("gdd->gd", own)
            own = own - x[:, :, None] * x[:, None, :]
            cross = cross - x[:, :, None] * y[:, None, :]
            varies = np.einsum("gdd->gd", own) > ROUNDED * squares
            own *= varies[:, :, None] & varies[:, None, :]
            cross *= varies[:, :, None]
        return own, cross
