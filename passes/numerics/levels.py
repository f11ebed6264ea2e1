"""Tables of few levels that codes of 8 bits are taken from: the nearest level, and levels of least error.

Levels of least squared error by the method of Lloyd [IEEE Trans. Inf. Theory 28 (1982), 129-137, method I].
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import UsageError
from passes.numerics.granularity import PerChannel
from passes.numerics.scales import short_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.numerics.formats import IntFormat
    from passes.numerics.qparams import QuantParams, QuantSpec

    Floats = NDArray[np.float64]

CODE_BITS = 8
MAX_INDEX_BITS = 7
"""A table of more bits would be every code."""
ROUNDS = 10
"""How often levels and scales are fitted to each other."""
LLOYD_ROUNDS = 20


def index_bits(count: int) -> int:
    """Return the bits of an index into a table of `count` levels."""
    return max(1, (count - 1).bit_length())


def check_table(levels: Sequence[int], fmt: IntFormat) -> None:
    """Check that levels are a table. 0 need not be among them: no padding of a layer is a weight.

    Raises:
        UsageError: they are fewer than 2, more than 128, not ascending, or outside the format.
    """
    most = 1 << MAX_INDEX_BITS
    if not 2 <= len(levels) <= most:
        raise UsageError(f"expected a table of 2 to {most} levels, found {len(levels)}")
    if any(low >= high for low, high in pairwise(levels)):
        raise UsageError(f"expected levels in ascending order, each once, found {list(levels)!s:.80}")
    if levels[0] < fmt.qmin or levels[-1] > fmt.qmax:
        raise UsageError(f"expected levels in {fmt.qmin}..{fmt.qmax}, found {levels[0]}..{levels[-1]}")


def nearest_index(values: NDArray[Any], levels: Sequence[float] | Floats) -> NDArray[np.intp]:
    """Return the index of the nearest level of an ascending table; a tie goes to the lower one."""
    return np.searchsorted(_middles(np.asarray(levels, np.float64)), values, side="left")


def nearest_level(values: NDArray[Any], levels: Sequence[int]) -> NDArray[np.int8]:
    """Return the nearest level of an ascending table of codes."""
    return np.asarray(levels, np.int8)[nearest_index(values, levels)]


def distinct_levels(wanted: Floats, fmt: IntFormat) -> NDArray[np.int64]:
    """Return ascending integers of a format, each once, near ascending numbers; as many as there are.

    Numbers that round to one integer are pushed apart, upwards and, at the end of the range, downwards.
    """
    place = np.arange(len(wanted))
    low, high = fmt.qmin + place, fmt.qmax - place[::-1]
    apart = np.maximum.accumulate(np.rint(wanted).astype(np.int64) - place) + place
    return np.clip(apart, low, high)


def uniform_levels(bits: int) -> Floats:
    """Return the levels of signed uniform integers of few bits, in codes of 8 bits."""
    return np.arange(-(1 << bits - 1), 1 << bits - 1, dtype=np.float64) * (1 << CODE_BITS - bits)


def lloyd(values: Floats, weights: Floats, levels: Floats, rounds: int = LLOYD_ROUNDS) -> Floats:
    """Move levels to where the weighted squared error of the nearest one is less; it never grows.

    Args:
        values: what is quantized, of any shape.
        weights: of each, not negative.
        levels: where to start, ascending; one that is nearest to nothing stays.
        rounds: at most.
    """
    order = np.argsort(values, axis=None)
    sorted_, mass = values.reshape(-1)[order], weights.reshape(-1)[order]
    masses, moments = (np.concatenate([[0.0], np.cumsum(it)]) for it in (mass, mass * sorted_))
    for _ in range(rounds):
        cuts = np.searchsorted(sorted_, _middles(levels), side="right")
        ends = np.concatenate([[0], cuts, [len(sorted_)]])
        within, moment = np.diff(masses[ends]), np.diff(moments[ends])
        moved = np.where(within > 0, moment / np.where(within > 0, within, 1.0), levels)
        if np.array_equal(moved, levels):
            break
        levels = moved
    return levels


def fit_table(
    values: NDArray[np.float32], spec: QuantSpec, params: QuantParams, least: Floats
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Return scales and levels for a weight, in turns from uniform integers.

    Args:
        values: the weight.
        spec: of uniform integers of at most 7 bits, without groups.
        params: of these; where to start.
        least: scales do not fall below these, of the shape of the scale.
    """
    places = spec.scale_places
    floor = short_scale(np.maximum(least, 2.0**-100), up=True, places=places)
    wanted = params.scale / np.float32(1 << CODE_BITS - spec.format.bits)
    fmt, scale = replace(spec.format, bits=CODE_BITS), np.maximum(wanted, floor)
    # Where the floor counts, the same values have smaller codes.
    levels = uniform_levels(spec.format.bits) * float(np.mean(wanted / scale))
    exact = values.astype(np.float64)
    for _ in range(ROUNDS):
        unit = np.broadcast_to(spec.granularity.expand(scale, values.shape), values.shape).astype(np.float64)
        levels = np.clip(lloyd(exact / unit, unit**2, levels), fmt.qmin, fmt.qmax)
        rounded = np.asarray(distinct_levels(levels, fmt), np.float64)
        scale = _better_scale(exact, spec, scale, rounded, floor)
    return scale, tuple(int(level) for level in distinct_levels(levels, fmt))


def _better_scale(
    values: Floats, spec: QuantSpec, scale: NDArray[np.float32], levels: Floats, floor: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the scales of least squares for codes as they are, where the error is less with them."""
    axis = spec.granularity.axis % values.ndim if isinstance(spec.granularity, PerChannel) else None
    others = tuple(at for at in range(values.ndim) if at != axis)

    def rounded(scales: NDArray[np.float32]) -> tuple[Floats, Floats]:
        unit = spec.granularity.expand(scales, values.shape).astype(np.float64)
        codes = levels[nearest_index(values / unit, levels)]
        return codes, np.square(values - codes * unit).sum(axis=others)

    codes, before = rounded(scale)
    power, product = (np.square(codes).sum(axis=others), (codes * values).sum(axis=others))
    wanted = np.where(product > 0, product / np.where(power > 0, power, 1.0), 0.0).reshape(scale.shape)
    tried = np.maximum(short_scale(np.maximum(wanted, 2.0**-100), up=False, places=spec.scale_places), floor)
    better = (rounded(tried)[1] < before).reshape(scale.shape)
    return np.where(better, tried, scale).astype(np.float32)


def _middles(levels: Floats) -> Floats:
    return (levels[1:] + levels[:-1]) / 2
