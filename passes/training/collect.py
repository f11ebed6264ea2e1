"""Collects what is learned in some layers of a model, and writes what came of it into the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from passes.ir.weights import quantized_weight
from passes.lowering.bias import accumulator_scale, bias_values, quantization_of
from passes.training.biases import ShiftedBias
from passes.training.bridge import bias_name
from passes.training.parts import Parts
from passes.training.simulation import WITH_BIAS, Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan, TensorQuant
    from passes.training.blocks import Block
    from passes.training.bridge import Values
    from passes.training.parts import WeightPart

    Start = Callable[[NDArray[np.float32], TensorQuant, NDArray[np.integer], torch.device], WeightPart]


def collected(
    simulation: Simulation,
    plan: QuantPlan,
    block: Block,
    spreads: Mapping[str, float],
    start: Start,
    keeps: Callable[[str, TensorQuant], bool],
) -> Parts:
    """Return the parts of a block, at the plan's values.

    Args:
        simulation: of the model.
        plan: with scales.
        block: its weights and biases are learned, and the steps of the activations that it computes.
        spreads: standard deviation of the result of each layer, by its name.
        start: makes the part of a weight of its values, quantization, codes and device.
        keeps: true for a weight, by name and quantization, that stays as it is.
    """
    device = simulation.bridge.device
    weights: dict[str, WeightPart] = {}
    biases: dict[str, ShiftedBias] = {}
    for layer in block.layers:
        for part in layer.parts:
            name = part.weight.name  # type: ignore[union-attr]
            quant = quantization_of(plan, name, layer.name)
            if name not in weights and quant.points is quant.levels is None and not keeps(name, quant):
                weights[name] = start(part.weight_values(), quant, quantized_weight(part, quant), device)
        if layer.op in WITH_BIAS and layer.parts:
            biases[bias_name(layer.name)] = _bias(simulation, plan, layer, spreads[layer.name])
    groups = [
        group for group in simulation.setup.groups if group.name in block.produced and not group.is_output
    ]
    steps = [simulation.steps[group.name] for group in groups]
    return Parts(weights, biases, steps, simulation.constants, simulation.steps)


def spreads_of(simulation: Simulation, layers: Sequence[Layer], feeds: Values) -> dict[str, float]:
    """Return the standard deviation of the float result of each layer, by its name, on a few samples."""
    names = [layer.output.name for layer in layers]
    with torch.no_grad():
        results = simulation.bridge.run(feeds, names)
    return {layer.name: float(results[layer.output.name].std()) for layer in layers}


def written(simulation: Simulation, plan: QuantPlan, block: Block, parts: Parts) -> QuantPlan:
    """Return the plan with what was learned in a block."""
    decided, biases = dict(plan.tensors), dict(plan.biases)
    for name, weight in parts.weights.items():
        decided[name] = decided[name].with_codes(decided[name].params, weight.codes())  # type: ignore[arg-type]
    for group in simulation.setup.groups:
        if group.name in block.produced:
            decided |= dict.fromkeys(group.members, simulation.steps[group.name].decision())
    for layer in block.layers:
        if (own := bias_name(layer.name)) in parts.biases:
            biases[layer.name] = parts.biases[own].numbers()
    return replace(plan, tensors=decided, biases=biases)


def _bias(simulation: Simulation, plan: QuantPlan, layer: Layer, spread: float) -> ShiftedBias:
    found = bias_values(layer, plan)
    zeros = simulation.bridge.constants[bias_name(layer.name)]
    start = zeros if found is None else torch.from_numpy(found.astype(np.float32)).to(zeros.device)
    act = simulation.steps[layer.act.name]
    steps = accumulator_scale(layer, plan) / act.decision().params.scale  # type: ignore[union-attr]
    fixed = torch.from_numpy(steps).to(zeros.device)
    return ShiftedBias(start, spread, lambda: fixed, act)
