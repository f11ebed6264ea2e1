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
        aim = reference if weights is None else reference * weights[:, None]
        pairs = ((weighted, seen), (weighted, reference), (aim, reference))
        # Without quantization before it both are the same vectors, and so are their products.
        products = [_product(*pair) for pair in (pairs[:1] if seen is reference else pairs)]
        sums = [vectors.sum(axis=1, dtype=np.float64) for vectors in (weighted, aim)]
        parts = sums + (products * 3)[:3]
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

    def products(self, *, centred: bool) -> tuple[Matrix, Matrix, Matrix]:
        """Return ``E[x x^T]``, ``E[x y^T]`` and ``E[y y^T]``, (groups, depth, depth).

        They are about zero, or about the means; what varies by no more than float32 rounds has none there.
        """
        own, cross, aim = (total / self._total for total in self._sums[2:])
        if centred:
            x, y = self.means()
            seen, wanted = _varies(own, x), _varies(aim, y)
            own = (own - x[:, :, None] * x[:, None, :]) * (seen[:, :, None] & seen[:, None, :])
            cross = (cross - x[:, :, None] * y[:, None, :]) * (seen[:, :, None] & wanted[:, None, :])
            aim = (aim - y[:, :, None] * y[:, None, :]) * (wanted[:, :, None] & wanted[:, None, :])
        return own, cross, aim


def _product(left: NDArray[np.float32], right: NDArray[np.float32]) -> Matrix:
    return np.asarray(left.transpose(0, 2, 1) @ right, dtype=np.float64)


def _varies(squares: Matrix, mean: Matrix) -> NDArray[np.bool_]:
    """Return which columns vary, (groups, depth)."""
    square = np.einsum("gdd->gd", squares)
    return np.asarray(square - mean**2 > ROUNDED * square)
