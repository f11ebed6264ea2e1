"""Weights with a scale for every group of input channels: which layers can have them, and how they split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from passes.artifact.runs import SIZES
from passes.errors import PlanError, UsageError
from passes.ir.plan import Role, TensorQuant
from passes.ir.points import row_points
from passes.numerics import PerGroup, split_scales

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan
    from passes.ir.setup import QuantizerSetup

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


def has_groups(layer: Layer, bits: int, size: int) -> bool:
    """Return whether the weight of a layer gets groups: not beyond 8 bits, nor where one would be all."""
    axis = group_axis(layer)
    if not size or axis is None or layer.weight is None:
        return False
    return bits <= MAX_BITS and int(layer.weight.shape[axis]) >= size


def with_groups(plan: QuantPlan, setup: QuantizerSetup, size: int) -> QuantPlan:
    """Give weights a scale for every few input channels, where layer and machine allow it.

    Scales that the plan had for them are dropped.

    Args:
        plan: bits of every tensor.
        setup: the quantizable part of the graph.
        size: input channels of a group, out of `passes.artifact.runs.SIZES`; 0 changes nothing.

    Raises:
        UsageError: there is no such size, or the machine knows no scales of groups for any layer.
    """
    if not size:
        return plan
    if size not in SIZES:
        raise UsageError(f"group size: expected one of {SIZES}, found {size}")
    known = [name for name, rules in setup.rules.items() if "per_group" in rules.granularities]
    if not known:
        raise UsageError(
            "group size: the target scales weights per tensor or per channel only; take another target, or "
            "leave the groups out"
        )
    tensors = dict(plan.tensors)
    for layer in setup.stored:
        quant = tensors.get(layer.weight.name) if layer.weight is not None and layer.name in known else None
        if quant is not None and has_groups(layer, quant.spec.format.bits, size):
            spec = replace(quant.spec, granularity=PerGroup(group_axis(layer) or 0, size))
            tensors[layer.weight.name] = TensorQuant(Role.WEIGHT, spec)  # type: ignore[union-attr]
    return replace(plan, tensors=tensors)


def group_size(plan: QuantPlan) -> int:
    """Return the size of the groups of a plan, or 0 where it has none."""
    found = (quant.spec.granularity for quant in plan.tensors.values())
    return next((granularity.size for granularity in found if isinstance(granularity, PerGroup)), 0)


def base_scale(layer: Layer, quant: TensorQuant) -> NDArray[np.float32]:
    """Return the value of one step of a layer's weight, less its multipliers: scalar or (channels,).

    Raises:
        PlanError: the scales of groups or points do not split into a base for each channel and multipliers.
    """
    parts = row_points(layer, quant)
    if parts is not None:
        return parts[0]
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
