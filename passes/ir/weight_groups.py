"""Weights with a scale for every group of input channels: which layers can have them, and how they split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.errors import PlanError, UsageError
from passes.numerics import PerGroup, split_scales

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.plan import TensorQuant

MAX_BITS = 8
"""Widest weights that gain from groups, and that the kernels take."""


def group_axis(layer: Layer) -> int | None:
    """Return the axis of the weight, in ONNX layout, that groups run along: its input channels.

    ``None`` for layers that cannot have groups: products of two activations, transposed convolutions, and
    convolutions of several groups, which have few input channels each.
    """
    if layer.weight is None or layer.op not in ("Conv", "Gemm", "MatMul") or layer.groups > 1:
        return None
    return 1 - layer.channel_axis


def base_scale(layer: Layer, quant: TensorQuant) -> NDArray[np.float32]:
    """Return the value of one step of a layer's weight, less its multipliers: scalar or (channels,).

    Raises:
        PlanError: the scales of groups do not split into a base for each channel and multipliers.
    """
    if not isinstance(quant.spec.granularity, PerGroup):
        return quant.params.scale  # type: ignore[union-attr]
    return _split(layer, quant)[0]


def multipliers(layer: Layer, quant: TensorQuant) -> NDArray[np.int64] | None:
    """Return the multiplier of every group, of the shape of the scales, or ``None`` without groups.

    Raises:
        PlanError: as for `base_scale`.
    """
    return _split(layer, quant)[1] if isinstance(quant.spec.granularity, PerGroup) else None


def _split(layer: Layer, quant: TensorQuant) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    granularity = quant.spec.granularity
    expected = granularity.param_shape(tuple(layer.weight.shape))  # type: ignore[union-attr]
    scale = quant.params.scale  # type: ignore[union-attr]
    if not isinstance(granularity, PerGroup) or granularity.axis != group_axis(layer):
        raise PlanError(
            f"layer {layer.name}: expected groups along axis {group_axis(layer)}, found {granularity}"
        )
    if scale.shape != expected or (quant.params.zero_point != 0).any():  # type: ignore[union-attr]
        raise PlanError(
            f"layer {layer.name}: expected scales of shape {expected} and zero points of 0, found shape "
            f"{scale.shape}"
        )
    try:
        return split_scales(scale, layer.channel_axis)
    except UsageError as error:
        raise PlanError(f"layer {layer.name}: {error}") from error
