"""Weights whose channels are sums of several rows: base scales, multipliers, and what the rows add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.artifact.points import Points
from passes.errors import ArtifactError, PlanError, UsageError
from passes.numerics import split_scales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.plan import TensorQuant

WIDENED = ("Conv", "Gemm", "MatMul")
"""Operators whose channels may have several points."""


def row_points(layer: Layer, quant: TensorQuant) -> tuple[NDArray[np.float32], Points] | None:
    """Return the base scale of every channel and its points, or ``None`` for a weight without points.

    Raises:
        PlanError: the layer cannot have points, the plan lacks their codes, or the scales of a channel are no
            multiples, up to 255, of one short scale.
    """
    if quant.points is None:
        return None
    where = f"layer {layer.name} ({layer.op})"
    if layer.op not in WIDENED or layer.weight is None:
        raise PlanError(f"{where}: only {', '.join(WIDENED)} with constant weights can have points")
    if quant.codes is None or quant.params is None:
        raise PlanError(f"{where}: its points need codes; run multipoint again")
    channels = int(layer.weight.shape[layer.channel_axis])
    if len(quant.points) != channels:
        raise PlanError(f"{where}: expected points for {channels} channels, found {len(quant.points)}")
    counts = np.array(quant.points, dtype=np.int64)
    try:
        base, multiplier = _split(quant.params.scale.reshape(-1), counts)
        points = Points(counts, multiplier)
        points.check(where, len(multiplier), quant.spec.format.bits)
    except (UsageError, ArtifactError) as error:
        raise PlanError(f"{where}: {error}") from error
    return base, points


def combined_codes(layer: Layer, quant: TensorQuant, points: Points) -> NDArray[np.int32]:
    """Return what the rows of a weight add up to, in ONNX layout, in steps of the base scales.

    Raises:
        PlanError: the plan's codes are for a weight of another shape.
    """
    return points.combine(checked_rows(layer, quant), layer.channel_axis)


def checked_rows(layer: Layer, quant: TensorQuant) -> NDArray[np.integer]:
    """Return the codes of a weight with points, a row where others have a channel.

    Raises:
        PlanError: there are none, or they are for a weight of another shape.
    """
    expected = list(layer.weight.shape)  # type: ignore[union-attr]
    expected[layer.channel_axis] = sum(quant.points or ())
    if quant.codes is None or quant.codes.shape != tuple(expected):
        found = "none" if quant.codes is None else str(quant.codes.shape)
        raise PlanError(f"layer {layer.name}: expected codes of shape {tuple(expected)}, found {found}")
    return quant.codes


def _split(
    scale: NDArray[np.float32], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Split scales of rows as `split_scales` does; rows that a channel lacks count as its last."""
    starts, longest = np.cumsum(counts) - counts, np.arange(int(counts.max()))
    at = starts[:, None] + np.minimum(longest, counts[:, None] - 1)
    base, multiplier = split_scales(scale[at], 0)
    return base, multiplier[longest < counts[:, None]]
