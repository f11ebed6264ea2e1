"""What gradients change in a quantized model: weights with their scales, biases, steps of activations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from passes.ir.weight_groups import base_scale
from passes.ir.weights import quantized_weight
from passes.lowering.bias import INT32_MAX, bias_values, quantization_of
from passes.training.biases import ShiftedBias
from passes.training.bridge import bias_name
from passes.training.lsq_weight import LARGEST_CHANGE, LsqWeight
from passes.training.simulation import WITH_BIAS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan, TensorQuant
    from passes.training.bridge import Values
    from passes.training.simulation import Simulation
    from passes.training.steps import StepQuantizer

SPARE = 4.0
"""How much larger a bias may become before it leaves its 32 bits at the least scale."""


@dataclass(frozen=True, slots=True)
class Tunables:
    """What is trained in a model, at the plan's values to start with.

    Attributes:
        weights: by the name of the constant.
        biases: by the name of the layer.
        steps: quantizers of activations, by the name of their group.
        simulation: the model; its other constants stay as they are.
    """

    weights: dict[str, LsqWeight]
    biases: dict[str, ShiftedBias]
    steps: dict[str, StepQuantizer]
    simulation: Simulation

    @classmethod
    def of(cls, simulation: Simulation, plan: QuantPlan, spreads: Mapping[str, float]) -> Tunables:
        """Collect what can be trained; weights that are sums of points stay as they are.

        Args:
            simulation: of the model.
            plan: with scales.
            spreads: standard deviation of the result of each layer, by its name.
        """
        setup, weights = simulation.setup, dict[str, LsqWeight]()
        for layer in setup.stored:
            for part in layer.parts:
                quant = plan.tensors.get(part.weight_name)
                if quant is not None and quant.points is None and part.weight_name not in weights:
                    codes = quantized_weight(part, quant)
                    least = least_scale(layer, plan, quant)
                    weights[part.weight_name] = LsqWeight(
                        part.weight_values(), quant, codes, least, simulation.bridge.device
                    )
        biases = {
            layer.name: _bias(simulation, plan, layer, weights.get(layer.weight_name), spreads[layer.name])
            for layer in setup.layers
            if layer.op in WITH_BIAS and layer.weight is not None
        }
        # The codes of a result are not rounded further by anything behind it: its range is kept.
        steps = {group.name: simulation.steps[group.name] for group in setup.groups if not group.is_output}
        for step in steps.values():
            step.reach = LARGEST_CHANGE
        learned: list[StepQuantizer | ShiftedBias] = [*steps.values(), *biases.values()]
        for it in learned:
            it.learn()
        return cls(weights, biases, steps, simulation)

    def constants(self) -> Values:
        """Return all constants as they are stored, differentiable."""
        weights = {name: weight.value() for name, weight in self.weights.items()}
        biases = {bias_name(name): bias.value() for name, bias in self.biases.items()}
        return self.simulation.constants | weights | biases

    def groups(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Return the parameters: weights, logarithms of steps, and biases, each by a name that says where."""
        found = {name: weight.parameters() for name, weight in self.weights.items()}
        latents = {f"weight {name}": it["latent"] for name, it in found.items()}
        latents |= {f"levels of weight {name}": it["levels"] for name, it in found.items() if "levels" in it}
        shifts = {f"scale of weight {name}": it["shift"] for name, it in found.items() if "shift" in it}
        shifts |= {f"scale of activation {name}": step.shift for name, step in self.steps.items()}
        return latents, shifts, {f"bias of {name}": bias.shift for name, bias in self.biases.items()}

    def parameters(self) -> dict[str, Tensor]:
        """Return everything that is trained, by name, in one order."""
        latents, shifts, biases = self.groups()
        return latents | shifts | biases

    def written(self, plan: QuantPlan) -> QuantPlan:
        """Return the plan with what was learned."""
        tensors = dict(plan.tensors)
        tensors |= {name: weight.decision() for name, weight in self.weights.items()}
        for group in self.simulation.setup.groups:
            if group.name in self.steps:
                tensors |= dict.fromkeys(group.members, self.steps[group.name].decision())
        biases = plan.biases | {name: bias.numbers() for name, bias in self.biases.items()}
        return replace(plan, tensors=tensors, biases=biases)


def least_scale(layer: Layer, plan: QuantPlan, quant: TensorQuant) -> NDArray[np.float64]:
    """Return the weight scales below which the bias would leave its 32 bits, of the shape of the scale."""
    shape = quant.params.scale.shape  # type: ignore[union-attr]
    bias, act = bias_values(layer, plan), plan.tensors.get(layer.act.name)
    if bias is None or act is None or act.params is None or not bias.size:
        return np.zeros(shape)
    least = float(np.abs(bias).max()) * SPARE * LARGEST_CHANGE / (float(act.params.scale) * INT32_MAX)
    return np.full(shape, least)


def _bias(
    simulation: Simulation, plan: QuantPlan, layer: Layer, weight: LsqWeight | None, spread: float
) -> ShiftedBias:
    found = bias_values(layer, plan)
    zeros = simulation.bridge.constants[bias_name(layer.name)]
    start = torch.zeros_like(zeros) if found is None else torch.from_numpy(found.astype(np.float32))
    return ShiftedBias(
        start.to(zeros.device),
        spread,
        _weight_steps(plan, layer, weight, zeros.device),
        simulation.steps[layer.act.name],
    )


def _weight_steps(
    plan: QuantPlan, layer: Layer, weight: LsqWeight | None, device: torch.device
) -> Callable[[], Tensor]:
    """Return a function for the value of one step of each output channel of a weight."""
    fixed = base_scale(layer, quantization_of(plan, layer.weight_name, layer.name))
    copies = layer.groups if layer.op == "ConvTranspose" else 1

    def present() -> Tensor:
        learned = weight is not None and weight.shift.requires_grad
        scale = np.atleast_1d(weight.scale() if learned and weight is not None else fixed)
        scale = np.tile(scale, copies) if scale.size > 1 else scale
        return torch.from_numpy(np.array(scale, dtype=np.float32)).to(device)

    return present
