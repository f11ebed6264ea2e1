"""Walk through the blocks of a model from its input to its results, and learn one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from passes.ir.weights import quantized_weight
from passes.lowering.bias import accumulator_scale, bias_values, quantization_of
from passes.training.biases import ShiftedBias
from passes.training.bridge import bias_name
from passes.training.learn import BlockLearner
from passes.training.parts import Outcome, Parts
from passes.training.rounding import SoftRounding
from passes.training.samples import Samples, advance, affordable, load_samples, quantized_inputs
from passes.training.simulation import WITH_BIAS, Simulation

if TYPE_CHECKING:
    from passes.api import PassContext
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from passes.training.blocks import Block
    from passes.training.parts import Recipe

SOURCE = "reconstruct"
FEW_SAMPLES = 64
"""Below this many samples the journal says that what is learned may fit them rather than the model."""


class Reconstruction:
    """Learns the blocks of one model.

    Attributes:
        plan: with what has been learned so far.
        outcomes: of the blocks done so far, in graph order.
    """

    def __init__(self, model: Model, ctx: PassContext, simulation: Simulation) -> None:
        """Take a model, the simulation of its plan, and the calibration data of the context."""
        self._ctx, self._simulation = ctx, simulation
        self._learned: set[str] = set()
        self.plan: QuantPlan = model.plan
        self.outcomes: list[Outcome] = []

    def run(self, blocks: tuple[Block, ...], recipe: Recipe, samples: int, max_bits: int) -> None:
        """Learn every block.

        Only the activations between two blocks are kept, for all samples: memory does not grow with depth.

        Args:
            blocks: in graph order.
            recipe: how to learn.
            samples: how many to use at most; 0 takes as many as memory allows.
            max_bits: weights of more bits keep the rounding they have.
        """
        simulation, bridge = self._simulation, self._simulation.bridge
        floats = self._load(blocks, samples)
        quantized = Samples(quantized_inputs(floats, simulation), floats.batched)
        rng = self._ctx.rng(SOURCE)
        size = recipe.batch if floats.batched else 1
        for done, block in enumerate(blocks):
            floats.values |= advance(bridge, floats, block, size, {}, {})
            parts = self._parts(block, floats, max_bits)
            if block.exits and parts.parameters():
                outcome = BlockLearner(bridge, block, quantized, floats).learn(parts, recipe, rng)
                self._keep(block, parts, outcome)
            quantized.values |= advance(
                bridge, quantized, block, size, simulation.constants, simulation.steps
            )
            needed = frozenset(name for later in blocks[done + 1 :] for name in later.entries)
            floats.forget(needed)
            quantized.forget(needed)
            self._ctx.progress(SOURCE, done + 1, len(blocks))

    def _load(self, blocks: tuple[Block, ...], samples: int) -> Samples:
        data = self._ctx.calibration
        count = min(samples or data.count, data.count)
        fitting = affordable(self._simulation.bridge, load_samples(data, 1), blocks, count)
        if fitting < count:
            self._ctx.note(SOURCE, "samples", f"{fitting} of {count} are used: no more fit into memory")
        if fitting < FEW_SAMPLES:
            self._ctx.note(SOURCE, "samples", f"{fitting} are few: what is learned may fit only these")
        return load_samples(data, fitting)

    def _parts(self, block: Block, floats: Samples, max_bits: int) -> Parts:
        """Collect what is learned in a block; a shared weight is learned where it is read first."""
        simulation, device = self._simulation, self._simulation.bridge.device
        weights: dict[str, SoftRounding] = {}
        biases: dict[str, ShiftedBias] = {}
        spreads = self._spreads(block, floats)
        for layer in block.layers:
            if layer.weight is None:
                continue
            name = layer.weight.name
            quant = quantization_of(self.plan, name, layer.name)
            wanted = quant.points is None and quant.spec.format.bits <= max_bits
            if name not in self._learned and wanted:
                start = quantized_weight(layer, quant)
                weights[name] = SoftRounding(layer.weight_values(), quant, start, device)
            if layer.op in WITH_BIAS:
                biases[bias_name(layer.name)] = self._bias(layer, spreads[layer.output.name])
        steps = [
            simulation.steps[group.name]
            for group in simulation.setup.groups
            if group.name in block.produced and not group.is_output
        ]
        return Parts(weights, biases, steps, simulation.constants, simulation.steps)

    def _bias(self, layer: Layer, spread: float) -> ShiftedBias:
        simulation, found = self._simulation, bias_values(layer, self.plan)
        zeros = simulation.bridge.constants[bias_name(layer.name)]
        start = zeros if found is None else torch.from_numpy(found.astype(np.float32)).to(zeros.device)
        act = simulation.steps[layer.act.name]
        steps = accumulator_scale(layer, self.plan) / act.decision().params.scale  # type: ignore[union-attr]
        return ShiftedBias(start, spread, torch.from_numpy(steps).to(zeros.device), act)

    def _spreads(self, block: Block, floats: Samples) -> dict[str, float]:
        """Return the standard deviation of the result of each layer, on a few samples."""
        names = [layer.output.name for layer in block.layers]
        few = torch.arange(min(floats.units, 8 if floats.batched else 1))
        bridge = self._simulation.bridge
        with torch.no_grad():
            results = bridge.run(floats.take(block.entries, few, bridge.device), names)
        return {name: float(value.std()) for name, value in results.items()}

    def _keep(self, block: Block, parts: Parts, outcome: Outcome) -> None:
        """Write what was learned into the plan and into the simulation."""
        self.outcomes.append(outcome)
        self._learned |= parts.weights.keys()
        parts.settle()
        self._simulation.constants.update(parts.hard())
        if outcome.reason:
            self._ctx.note(SOURCE, block.name, f"this block stays as it was: {outcome.reason}")
            return
        tensors, biases = dict(self.plan.tensors), dict(self.plan.biases)
        for name, weight in parts.weights.items():
            tensors[name] = tensors[name].with_codes(tensors[name].params, weight.codes())  # type: ignore[arg-type]
        for group in self._simulation.setup.groups:
            if group.name in block.produced:
                tensors |= dict.fromkeys(group.members, self._simulation.steps[group.name].decision())
        for layer in block.layers:
            if (own := bias_name(layer.name)) in parts.biases:
                biases[layer.name] = parts.biases[own].numbers()
        self.plan = replace(self.plan, tensors=tensors, biases=biases)
