"""A model under its plan, in PyTorch: what the lowered model computes, but with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from passes.ir.float_layers import fitted
from passes.ir.kinds import constant_operand
from passes.ir.setup import quantizer_setup
from passes.ir.weights import rounded_weight
from passes.lowering.bias import accumulator_scale, bias_codes, quantization_of
from passes.lowering.methods import constant_codes
from passes.training.bridge import Bridge, bias_name
from passes.training.steps import StepQuantizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwmodels import HardwareModel
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup
    from passes.training.bridge import Values

WITH_BIAS = ("Conv", "ConvTranspose", "Gemm")
"""Operators that have a place for a bias."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """The graph, and what the plan puts in the place of its constants and around its activations.

    Every layer of `WITH_BIAS` has a bias of its own, of zeros where the model has none.

    Attributes:
        bridge: the float graph.
        setup: its quantizable part.
        constants: weights in whole codes, biases, and constant operands as the lowered model has them.
        steps: quantizer of every quantized activation, by tensor name; tied tensors share one.
    """

    bridge: Bridge
    setup: QuantizerSetup
    constants: Values
    steps: dict[str, StepQuantizer]

    @classmethod
    def of(cls, model: Model, target: HardwareModel, device: str = "cpu") -> Simulation:
        """Prepare a model whose plan has scales.

        Args:
            model: not changed.
            target: the machine that the plan is for.
            device: ``cpu``, ``cuda`` or ``auto``.

        Raises:
            LoweringError: the plan lacks a scale.
            ModelError: the graph has nodes that the bridge cannot run; the message names them.
            UsageError: there is no such device.
        """
        setup = fitted(quantizer_setup(model.graph, target), model.plan)
        biases = {layer.name: _float_bias(layer) for layer in setup.layers if layer.op in WITH_BIAS}
        bridge = Bridge.of(model.graph, device, biases)
        steps: dict[str, StepQuantizer] = {}
        for group in setup.groups:
            quant = quantization_of(model.plan, group.name, group.name)
            steps |= dict.fromkeys(group.members, StepQuantizer(quant, bridge.device))
        constants = {
            name: torch.from_numpy(np.array(values, dtype=np.float32)).to(bridge.device)
            for name, values in _constants(model, setup).items()
        }
        return cls(bridge, setup, constants, steps)


def _float_bias(layer: Layer) -> NDArray[np.float32]:
    if layer.bias is not None:
        return np.asarray(layer.bias.values, dtype=np.float32)
    weight, axis = layer.weight, layer.channel_axis
    groups = layer.groups if layer.op == "ConvTranspose" else 1
    return np.zeros(weight.shape[axis] * groups, dtype=np.float32)  # type: ignore[union-attr]


def _constants(model: Model, setup: QuantizerSetup) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    for layer in setup.stored:
        for part in layer.parts:
            if part.weight_name in model.plan.tensors or layer in setup.layers:
                quant = quantization_of(model.plan, part.weight_name, layer.name)
                found[part.weight_name] = rounded_weight(part, quant)
    for layer in setup.layers:
        bias = bias_codes(layer, model.plan) if layer.op in WITH_BIAS else None
        if bias is not None:
            steps = accumulator_scale(layer, model.plan).astype(np.float64)
            found[bias_name(layer.name)] = (bias * steps).astype(np.float32)
    for node in model.graph.nodes:
        operand = constant_operand(node) if node.name in setup.nodes else None
        if operand is not None:
            rounded, scale = constant_codes(operand.values)
            found[operand.name] = (rounded * scale).astype(np.float32)
    return found
