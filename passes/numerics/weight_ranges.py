"""Ranges of weights: where to clip an array that is at hand, for all its channels at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import DataError, UsageError
from passes.numerics.mse_clip import CLIP_FACTORS, SEARCH_LEVELS
from passes.numerics.qparams import params_from_range
from passes.numerics.ranges import RangeMethod
from passes.numerics.scales import short_scale, shorter_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.numerics.qparams import QuantSpec

# Elements whose temporaries stay in a second-level cache.
_CHUNK = 1 << 15


def weight_range(
    w: NDArray[Any], spec: QuantSpec, method: RangeMethod = RangeMethod.MINMAX
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Choose a range for each scale of a weight.

    MSE tries 100 factors, the same for both ends, and keeps the one with the least squared error of rounding
    to the nearest; formats of more than 256 levels are not clipped.

    Args:
        w: finite weights of any shape.
        spec: the quantizer.
        method: MINMAX or MSE.

    Returns:
        Lower and upper ends, each of the shape ``spec.granularity.param_shape(w.shape)``.

    Raises:
        DataError: a weight is NaN or infinite.
        UsageError: the method needs a histogram, or the granularity does not fit ``w``.
    """
    if method not in (RangeMethod.MINMAX, RangeMethod.MSE):
        raise UsageError(f"weight ranges are chosen by minmax or mse, found {method}")
    shape = spec.granularity.param_shape(w.shape)
    if w.size == 0:
        return np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    blocks = np.ascontiguousarray(spec.granularity.blocks(w), dtype=np.float32)
    lo, hi = blocks.min(axis=1), blocks.max(axis=1)
    if not (np.isfinite(lo).all() and np.isfinite(hi).all()):
        raise DataError(
            f"weights of shape {w.shape} hold NaN or Inf; repair the model before it is quantized"
        )
    if method is RangeMethod.MSE and spec.format.levels <= SEARCH_LEVELS:
        factor = _best_factors(blocks, lo, hi, spec)
        lo, hi = lo * factor, hi * factor
    return lo.reshape(shape), hi.reshape(shape)


def best_short_scale(
    w: NDArray[Any], spec: QuantSpec, moments: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the short scale of each channel with the least squared error, the largest among equals.

    Tried are the scale that covers the channel and the short scales below it, over one octave at 8 bits and
    more of them the fewer the bits: narrow formats gain from clipping more.

    Args:
        w: finite weights of any shape.
        spec: a symmetric quantizer.
        moments: what the error of each weight counts, not negative, in the shape of ``w``; all alike by
            default.

    Returns:
        Scales of the shape ``spec.granularity.param_shape(w.shape)``; 1 for channels of zeros.

    Raises:
        DataError: a weight is NaN or infinite.
    """
    low, high = weight_range(w, spec)
    covering = short_scale(params_from_range(low, high, spec).scale, up=True, places=spec.scale_places)
    covering = covering.reshape(-1)
    if spec.format.levels > SEARCH_LEVELS or w.size == 0:
        return covering.reshape(low.shape)
    tried = range(0, 9 + 3 * (8 - spec.format.bits), spec.scale_places)
    scales = np.stack([shorter_scale(covering, step) for step in tried])
    blocks = np.ascontiguousarray(spec.granularity.blocks(w), dtype=np.float32)
    lowest = np.full(scales.shape, spec.format.qmin, dtype=np.float32)
    roots = None if moments is None else np.sqrt(spec.granularity.blocks(moments)).astype(np.float32)
    errors = squared_errors(blocks, scales, lowest, spec.format.levels, roots)
    return np.asarray(np.take_along_axis(scales, errors.argmin(axis=0)[None], 0)[0].reshape(low.shape))


def _best_factors(
    blocks: NDArray[np.float32], lo: NDArray[np.float32], hi: NDArray[np.float32], spec: QuantSpec
) -> NDArray[np.float32]:
    """Return the clip factor of each block with the least squared error, the largest among equals."""
    factors = CLIP_FACTORS.astype(np.float32)[::-1, np.newaxis]
    params = params_from_range(lo * factors, hi * factors, spec)
    lowest = (spec.format.qmin - params.zero_point).astype(np.float32)
    errors = squared_errors(blocks, params.scale, lowest, spec.format.levels)
    return np.asarray(factors[errors.argmin(axis=0), 0])


def squared_errors(
    blocks: NDArray[np.float32],
    scales: NDArray[np.float32],
    lowest: NDArray[np.float32],
    levels: int,
    roots: NDArray[np.float32] | None = None,
) -> NDArray[np.float64]:
    """Return the error of each candidate for each block, shape (candidates, blocks), in cached pieces.

    Args:
        blocks: weights, shape (blocks, elements).
        scales: steps, shape (candidates, blocks).
        lowest: first code less the zero point, same shape.
        levels: number of codes.
        roots: factors of the errors before they are squared, in the shape of ``blocks``; 1 by default.
    """
    errors = np.zeros(scales.shape, dtype=np.float64)
    rows = max(1, _CHUNK // blocks.shape[1])
    for top in range(0, len(blocks), rows):
        part = slice(top, top + rows)
        for left in range(0, blocks.shape[1], _CHUNK):
            at = part, slice(left, left + _CHUNK)
            factors = None if roots is None else roots[at]
            errors[:, part] += _piece_errors(blocks[at], scales[:, part], lowest[:, part], levels, factors)
    return errors


def _piece_errors(
    piece: NDArray[np.float32],
    scale: NDArray[np.float32],
    lowest: NDArray[np.float32],
    levels: int,
    roots: NDArray[np.float32] | None,
) -> NDArray[np.float64]:
    """Return the error of each candidate for each row; see `squared_errors`."""
    errors = np.empty(scale.shape, dtype=np.float64)
    steps, codes = np.empty_like(piece), np.empty_like(piece)
    for candidate in range(len(scale)):
        step, low = scale[candidate, :, np.newaxis], lowest[candidate, :, np.newaxis]
        np.multiply(piece, np.float32(1.0) / step, out=steps)
        np.rint(steps, out=codes)
        # Two passes, and yet faster than clip, which has no vector loop for bounds that are arrays.
        np.maximum(codes, low, out=codes)
        np.minimum(codes, low + (levels - 1), out=codes)
        codes -= steps
        if roots is not None:
            codes *= roots
        errors[candidate] = np.einsum("ij,ij->i", codes, codes)
    return errors * np.square(scale, dtype=np.float64)
