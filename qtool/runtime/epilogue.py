"""`Epilogue`: from exact sums to output codes, with one rounding, or to float32 where integers end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.numerics import (
    ExactRequantizer,
    Requantizer,
    RequantRule,
    exact_requantizer,
    real_multiplier,
    requantizer,
    rule_of_sums,
)
from qtool.runtime.tiles import part, tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qtool.runtime.node import Array, Node
    from qtool.runtime.tiles import Tile

MAX_SUM = 1 << 53
LEAST_ACC_BITS = 32


class Epilogue:
    """Computes ``clamp(round((sum + bias) * scale / (count * scale_y)) + zero_point_y, lo, hi)``.

    The rule of the target says how. EXACT rounds the fraction as it is where scales are short, such as qtool
    assigns, and else works as FIXED_POINT: the multiplier has 31 bits while the sums fit in 32 bits, and
    ``63 - bits`` for wider ones. With a float32 output ``(sum + bias) * scale / count`` is rounded once to
    float32.
    """

    def __init__(
        self,
        node: Node,
        scale: NDArray[np.float64],
        largest: int,
        bias: Array | None = None,
        count: NDArray[np.float64] | float = 1.0,
    ) -> None:
        """Prepare the multipliers.

        Args:
            node: the step, for its output and its rounding.
            scale: real value of one unit of the sums; a scalar, or of as many axes as they have.
            largest: bound on the magnitude of a sum with its bias.
            bias: int64, of the shape of `scale`.
            count: number of elements that a sum is the mean of; a scalar, or of as many axes as the sums.

        Raises:
            ArtifactError: sums could leave the range in which float64 is exact.
            InputError: scales do not belong together.
        """
        if largest >= MAX_SUM:
            node.fail(f"sums reach {largest}; this runtime is exact below {MAX_SUM} only")
        self._node = node
        self._bias = bias
        self._scale = np.asarray(scale / count)
        self._exact: ExactRequantizer | None = None
        if not node.output.is_float:
            if node.rule is RequantRule.EXACT:
                divisor = node.output.scale * np.asarray(count, np.float64)
                self._exact = exact_requantizer(scale, divisor, largest)
            bits = max(LEAST_ACC_BITS, largest.bit_length() + 1)
            rule = rule_of_sums(node.rule, largest)
            real = real_multiplier(scale, node.output.scale, count, rule)
            self._requantizer = requantizer(real, bits, rule)

    def __call__(self, sums: Array) -> Array:
        """Return the output for an array of sums."""
        out = np.empty(sums.shape, self._node.output.dtype)
        self.write(sums, out)
        return out

    def write(self, sums: Array, out: Array) -> None:
        """Write the output for sums, integers of any type, into an array of the same shape, tile by tile."""
        for tile in tiles(sums.shape):
            self.write_tile(sums[tile], out, tile)

    def write_tile(self, sums: Array, out: Array, tile: Tile) -> None:
        """Write the output for the sums of one tile of `out`."""
        exact = sums.astype(np.int64)
        if self._bias is not None:
            exact += part(self._bias, tile)
        if self._node.output.is_float:
            out[tile] = exact * part(self._scale, tile)
            return
        node, whole = self._node, self._requantizer
        if self._exact is not None:
            tiled_exact = ExactRequantizer(part(self._exact.scale, tile), part(self._exact.divisor, tile))
            out[tile] = tiled_exact.apply(exact, node.output.zero_point, node.lo, node.hi, node.rounding)
            return
        tiled = Requantizer(part(whole.multiplier, tile), part(whole.shift, tile), whole.rule)
        out[tile] = tiled.apply(exact, node.output.zero_point, node.lo, node.hi, node.rounding)
