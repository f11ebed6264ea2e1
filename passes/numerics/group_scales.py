"""Scales of groups in two levels: a short scale for each channel, times a small integer for each group.

With ``scale[c, g] = base[c] * multiplier[c, g]`` a sum over groups stays an integer,
``acc[c] = sum over g of multiplier[c, g] * (sum over the group of x * w)``, in steps of ``base[c]``: it
takes a bias and one rounding at its end, as any other sum does. The form is that of VS-Quant (Dai et al.
2021, arXiv 2102.04503), with a short scale (`passes.numerics.short_scale`) as the coarse one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import UsageError
from passes.numerics.qparams import QuantParams, params_from_range
from passes.numerics.ranges import RangeMethod
from passes.numerics.scales import SIGNIFICANT_BITS, short_scale
from passes.numerics.weight_ranges import squared_errors, weight_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.numerics.qparams import QuantSpec

MAX_MULTIPLIER = 255
"""Multipliers take a byte."""

LEAST_LIMIT = 15
"""Fewer multipliers than four bits of them cost more accuracy than groups give."""

PRODUCT_BITS = 12
"""Bits of a weight times its multiplier. With more of them the float32 sums of a Q/DQ model now and then fall
on the other side of a tie: at 8 bits and multipliers up to 63, one code in 100,000 of a convolution."""

_FLOAT_BITS = 24


def multiplier_limit(depth: int, weight_bits: int, act_bits: int, sum_bits: int) -> int:
    """Return the greatest multiplier under which no sum of products can leave half of the accumulator.

    The other half is for the bias; nor has a weight times its multiplier more than `PRODUCT_BITS`.
    `LEAST_LIMIT` is returned even where the worst case of all weights and
    activations at their ends would not fit: lowering proves the sums of the weights that there are.

    Args:
        depth: products in a sum.
        weight_bits: width of the weights.
        act_bits: width of the activations.
        sum_bits: width of the accumulator.
    """
    largest = depth * 2 ** (weight_bits - 1) * (2**act_bits - 1)
    widest = min(MAX_MULTIPLIER, 2 ** (PRODUCT_BITS - weight_bits) - 1)
    return int(min(widest, max(LEAST_LIMIT, (2 ** (sum_bits - 2) - 1) // largest)))


def group_params(
    values: NDArray[np.float32],
    spec: QuantSpec,
    channel_axis: int,
    *,
    method: RangeMethod = RangeMethod.MSE,
    least: NDArray[np.float64] | float = 0.0,
    limit: int = MAX_MULTIPLIER,
) -> QuantParams:
    """Return two-level parameters of a weight.

    Every group first gets the scale that the method chooses for it alone. The base of a channel is the least
    short scale of which the largest of these is `limit` times or less. Multipliers are rounded up, or, under
    MSE, to whichever neighbour has the least squared error. Against free float32 scales that costs nothing:
    the squared error of eight matrices of MiniLM, at 4 bits in groups of 32, is 0.1 % lower with multipliers
    of up to 255, 0.3 % higher with 63, and 6.6 % higher with 15 (per channel it is 86 % higher).

    Args:
        values: the weight.
        spec: symmetric, of granularity `PerGroup` along another axis than the channels.
        channel_axis: axis of the output channels.
        method: MINMAX or MSE.
        least: bases are not chosen below this; for each channel, or for all.
        limit: greatest multiplier.

    Raises:
        DataError: a weight is NaN or infinite.
        UsageError: the granularity does not fit the weight.
    """
    free = params_from_range(*weight_range(values, spec, method), spec).scale.astype(np.float64)
    used = np.abs(spec.granularity.blocks(values)).max(axis=1, initial=0).reshape(free.shape) > 0
    rest = tuple(axis for axis in range(free.ndim) if axis != channel_axis)
    top = np.where(used, free, 0.0).max(axis=rest, keepdims=True, initial=0.0)
    finest = top[top > 0].min() if (top > 0).any() else 1.0
    floor = np.broadcast_to(least, top.size).reshape(top.shape)
    base = short_scale(np.maximum(np.where(top > 0, top, finest) / limit, floor), up=True).astype(np.float64)
    wanted = np.where(used, free / base, 1.0)
    above = np.clip(np.ceil(wanted), 1, limit)
    multiplier = above
    if method is RangeMethod.MSE:
        below = np.clip(np.floor(wanted), 1, limit)
        multiplier = np.where(_prefers(values, spec, base * below, base * above), below, above)
    scale = (base * multiplier).astype(np.float32)
    return QuantParams(scale, np.zeros(scale.shape, dtype=np.int32))


def split_scales(
    scale: NDArray[np.float32], channel_axis: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return base and multipliers of two-level scales, the multipliers as small as possible.

    Args:
        scale: of the groups, as `group_params` makes them.
        channel_axis: axis of the output channels.

    Returns:
        Bases of shape (channels,), and multipliers of the shape of `scale`.

    Raises:
        UsageError: some channel has scales that are no multiples, up to `MAX_MULTIPLIER`, of one short scale.
    """
    rows = np.moveaxis(scale, channel_axis, 0)
    odd, exponent = _odd(rows.reshape(len(rows), -1))
    lowest = exponent.min(axis=1, keepdims=True)
    common = np.gcd.reduce(odd, axis=1)[:, None]
    divisors = np.arange(1, 2**SIGNIFICANT_BITS, 2)
    unit = np.where(common % divisors == 0, divisors, 1).max(axis=1, keepdims=True)
    # Beyond 2**8 a multiplier is refused in any case, and a longer shift would overflow.
    multiplier = (odd // unit) << np.minimum(exponent - lowest, 2 * SIGNIFICANT_BITS)
    if multiplier.max() > MAX_MULTIPLIER or (exponent - lowest).max() > 2 * SIGNIFICANT_BITS:
        raise UsageError(
            f"scales of groups: expected multiples 1..{MAX_MULTIPLIER} of a short scale for each channel, "
            "found others; let assign-scales choose them"
        )
    base = np.ldexp(unit.astype(np.float64), lowest)[:, 0].astype(np.float32)
    return base, np.moveaxis(multiplier.reshape(rows.shape), 0, channel_axis)


def _odd(values: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write every value as an odd integer times a power of two."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    whole = np.ldexp(mantissa, _FLOAT_BITS).astype(np.int64)
    lowest = whole & -whole
    return whole // lowest, exponent - _FLOAT_BITS + np.log2(lowest).astype(np.int64)


def _prefers(
    values: NDArray[np.float32], spec: QuantSpec, first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[Any]:
    """Return where the first of two scales of a group has the smaller error, in the shape of the scales."""
    blocks = np.ascontiguousarray(spec.granularity.blocks(values), dtype=np.float32)
    scales = np.stack([first.reshape(-1), second.reshape(-1)]).astype(np.float32)
    lowest = np.full(scales.shape, spec.format.qmin, dtype=np.float32)
    errors = squared_errors(blocks, scales, lowest, spec.format.levels)
    return np.asarray((errors[0] < errors[1]).reshape(first.shape))
