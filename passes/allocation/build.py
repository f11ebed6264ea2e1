"""Build the allocation problem of a model: what each layer may take, what it loses, what it costs."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from hwmodels import Metric, Precision
from passes.allocation.choices import Choice, LayerChoices
from passes.allocation.conversions import price_between
from passes.allocation.problem import AllocationProblem
from passes.errors import InfeasibleError, UsageError
from passes.ir.float_layers import FLOAT_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hwmodels import Cost, HardwareModel, Rules
    from passes.analysis.between import Between
    from passes.analysis.cost import CostTable
    from passes.analysis.sensitivity import SensitivityTable
    from passes.ir.layers import Layer
    from passes.ir.setup import QuantizerSetup

Pin = tuple[str, Precision]
NARROW_BITS = 8
"""Wider operands use the wide accumulator of a machine."""


def build_problem(
    setup: QuantizerSetup,
    costs: CostTable,
    sensitivity: SensitivityTable,
    target: HardwareModel,
    pins: Mapping[str, Precision],
    between: Sequence[Between],
) -> AllocationProblem:
    """Return the problem; layers that read the same tensors share the bits of their activation.

    Args:
        setup: the quantizable part of the graph.
        costs: prices of every choice; pinned precisions included.
        sensitivity: losses at every width that is priced.
        target: the machine, for what lies between layers and for the metrics that sum over layers.
        pins: layers with one choice only.
        between: conversions and operators without products.
    """
    metrics = sorted(costs.metrics & target.additive)
    offers = {
        layer.name: [
            (precision, cost)
            for precision, cost in sorted(costs.layers[layer.name].items())
            if precision == pins.get(layer.name, precision)
            and _has_sides(layer, precision)
            and (layer.name in pins or _product_fits(precision, setup.rules[layer.name]))
        ]
        for layer in setup.layers
    }
    act_bits = {
        name: sorted({precision.act_bits for precision, _ in offer}) for name, offer in offers.items()
    }
    extra = price_between(target, between, setup, act_bits)
    layers = []
    for layer in setup.layers:
        added = extra.layers.get(layer.name, {})
        choices = [
            _choice(layer, precision, _prices(cost, metrics, added.get(precision.act_bits, {})), sensitivity)
            for precision, cost in offers[layer.name]
        ]
        layers.append(LayerChoices(layer.name, tuple(choices)))
    ties = shared_activations(setup)
    return AllocationProblem("model", tuple(layers), (), ties, extra.boundaries, dict(extra.fixed))


def shared_activations(setup: QuantizerSetup) -> tuple[tuple[str, ...], ...]:
    """Return groups of layers that read the same tensors."""
    return tuple(group.readers for group in setup.groups if len(group.readers) > 1)


def _has_sides(layer: Layer, precision: Precision) -> bool:
    """Two computed operands have the same width: neither is a weight."""
    return layer.weight is not None or precision.weight_bits == precision.act_bits


def _product_fits(precision: Precision, rules: Rules) -> bool:
    """Tell whether a product of 16-bit operands leaves the accumulator room for a sum; floats have none."""
    wide = NARROW_BITS < max(precision.weight_bits, precision.act_bits) < FLOAT_BITS
    return not wide or precision.weight_bits + precision.act_bits < rules.wide_accumulator_bits


def _prices(cost: Cost, metrics: Sequence[Metric], added: Mapping[str, float]) -> dict[str, float]:
    return {metric.value: float(cost.get(metric) or 0.0) + added.get(metric.value, 0.0) for metric in metrics}


def _choice(
    layer: Layer, precision: Precision, prices: Mapping[str, float], sensitivity: SensitivityTable
) -> Choice:
    loss = sensitivity.loss(layer.name, precision.weight_bits, precision.act_bits)
    return Choice(precision.weight_bits, precision.act_bits, loss, prices)


def match_pins(layers: Sequence[Layer], pins: Sequence[Pin]) -> dict[str, Precision]:
    """Return the precision of every pinned layer; of several pins that match, the last counts.

    Raises:
        UsageError: a pattern matches nothing; the message lists layers.
    """
    pinned: dict[str, Precision] = {}
    for pattern, precision in pins:
        matched = [layer.name for layer in layers if _matches(layer, pattern)]
        if not matched:
            known = ", ".join(layer.name for layer in layers[:8])
            raise UsageError(
                f"pin {pattern!r} matches no layer; layers are {known}{', ...' if len(layers) > 8 else ''}"
            )
        pinned |= dict.fromkeys(matched, precision)
    return pinned


def _matches(layer: Layer, pattern: str) -> bool:
    if pattern.startswith("op:"):
        return fnmatchcase(layer.op, pattern[3:])
    return layer.name == pattern or fnmatchcase(layer.name, pattern)


def check_pins(setup: QuantizerSetup, pins: Mapping[str, Precision]) -> None:
    """Refuse pins that ask one tensor to have two precisions, or the target for floats that it does not run.

    Raises:
        InfeasibleError: naming the layers.
    """
    for name, pair in pins.items():
        known = setup.rules[name].precisions
        if pair.act_bits == FLOAT_BITS and known and not any(it.covers(pair) for it in known):
            raise InfeasibleError(f"layer {name} cannot stay float: the target runs integers only")
    pins = _integer(pins)
    for readers in shared_activations(setup):
        wanted = {reader: pins[reader].act_bits for reader in readers if reader in pins}
        if len(set(wanted.values())) > 1:
            asked = ", ".join(f"{name} a{bits}" for name, bits in wanted.items())
            raise InfeasibleError(f"pins contradict each other: these layers read the same tensor: {asked}")


def uniform_bits(
    setup: QuantizerSetup, precision: Precision, pins: Mapping[str, Precision]
) -> dict[str, Precision]:
    """Return one precision for all layers, but for the pinned ones and those that share their activation.

    A MatMul of two computed operands has no weights: both of its operands take the activation's width.
    """
    bits = {layer.name: pins.get(layer.name, precision) for layer in setup.layers}
    pins = _integer(pins)
    for readers in shared_activations(setup):
        wanted = {pins[reader].act_bits for reader in readers if reader in pins}
        for reader in readers if wanted else ():
            if bits[reader].act_bits == FLOAT_BITS:
                continue
            bits[reader] = Precision(bits[reader].weight_bits, max(wanted))
    return bits


def _integer(pins: Mapping[str, Precision]) -> dict[str, Precision]:
    """Return the pins of layers that quantize their activation; the others read it as it is."""
    return {name: pair for name, pair in pins.items() if pair.act_bits != FLOAT_BITS}
