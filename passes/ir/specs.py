"""From bits per layer to a specification for every tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodels import Precision
from passes.errors import PlanError
from passes.ir.float_layers import FLOAT_BITS, kept_float
from passes.ir.plan import LayerBits, QuantPlan, Role, TensorQuant
from passes.numerics import IntFormat, PerChannel, PerTensor, QuantSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.ir.layers import Layer
    from passes.ir.setup import QuantizerSetup
    from passes.ir.tensor_groups import TensorGroup


def plan_of_bits(
    setup: QuantizerSetup, bits: Mapping[str, Precision], losses: Mapping[str, float] | None = None
) -> QuantPlan:
    """Build a plan without parameters.

    Weights are signed and symmetric, activations per tensor; the rest is as the target's rules have it.
    Layers with activations of 32 bits stay in floating point; fewer bits of their weights are for storage.

    Args:
        setup: the quantizable part of the graph.
        bits: precision of every layer, by name.
        losses: loss that the allocation expects of each, where there is an estimate.

    Raises:
        PlanError: layers that read the same tensors disagree about its precision.
    """
    tensors: dict[str, TensorQuant] = {}
    every = {layer.name: layer for layer in setup.stored}
    setup = setup.fit(kept_float(bits))
    for layer in setup.stored:
        if bits[layer.name].weight_bits == FLOAT_BITS:
            continue
        for part in layer.parts:
            tensors[part.weight.name] = TensorQuant(  # type: ignore[union-attr]
                Role.WEIGHT, weight_spec(part, bits[layer.name].weight_bits, setup)
            )
    for group in setup.groups:
        quant = TensorQuant(Role.ACT, act_spec(group_bits(group, bits), setup))
        tensors.update(dict.fromkeys(group.members, quant))
    expected = losses or {}
    layers = {name: LayerBits(layer.op, bits[name], expected.get(name)) for name, layer in every.items()}
    return QuantPlan(layers, tensors)


def group_bits(group: TensorGroup, bits: Mapping[str, Precision]) -> int:
    """Return the precision that the readers of a group ask for; readers in floating point ask for none.

    Raises:
        PlanError: they disagree.
    """
    wanted = {bits[reader].act_bits for reader in group.readers}
    wanted = wanted - {FLOAT_BITS} or wanted
    if len(wanted) > 1:
        readers = ", ".join(f"{reader} a{bits[reader].act_bits}" for reader in group.readers)
        raise PlanError(
            f"tensor {group.name!r} has one precision, but its readers ask for several: {readers}"
        )
    return wanted.pop() if wanted else group.unread_bits


def weight_spec(layer: Layer, bits: int, setup: QuantizerSetup) -> QuantSpec:
    """Return how the weight of a layer is quantized: signed, symmetric, per output channel where allowed."""
    rules = setup.rules[layer.name]
    by_channel = "per_channel" in rules.granularities
    granularity = PerChannel(layer.channel_axis) if by_channel else PerTensor()
    return QuantSpec(
        IntFormat(bits, signed=True), granularity, symmetric=True, power_of_two=rules.power_of_two_scales
    )


def act_spec(bits: int, setup: QuantizerSetup) -> QuantSpec:
    """Return how activations are quantized: unsigned with a zero point, or signed without one.

    Activations pass through many layers, so what one layer does not accept is not used at all.
    """
    signed = any(rules.symmetric_acts for rules in setup.rules.values())
    power_of_two = any(rules.power_of_two_scales for rules in setup.rules.values())
    return QuantSpec(IntFormat(bits, signed), PerTensor(), symmetric=signed, power_of_two=power_of_two)
