"""Walk through the blocks of a model from its input to its results, and learn one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from passes.training.collect import collected, spreads_of, written
from passes.training.learn import BlockLearner
from passes.training.parts import Outcome, Parts
from passes.training.rounding import SoftRounding
from passes.training.samples import (
    FEW_SAMPLES,
    Samples,
    Split,
    advance,
    affordable,
    load_samples,
    quantized_inputs,
)

if TYPE_CHECKING:
    from passes.api import PassContext
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan, TensorQuant
    from passes.training.blocks import Block
    from passes.training.parts import Recipe
    from passes.training.simulation import Simulation

SOURCE = "reconstruct"


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
        split = Split.of(floats.units, rng)
        size = recipe.batch if floats.batched else 1
        for done, block in enumerate(blocks):
            if not block.exits:
                self._ctx.note(
                    SOURCE, block.name, "its results do not divide into samples: nothing is learned"
                )
                break
            floats.values |= advance(bridge, floats, block, size, {}, {})
            parts = self._parts(block, floats, max_bits)
            if parts.parameters():
                outcome = BlockLearner(bridge, block, quantized, floats, split).learn(parts, recipe, rng)
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
        few = torch.arange(min(floats.units, 8 if floats.batched else 1))
        feeds = floats.take(block.entries, few, self._simulation.bridge.device)
        spreads = spreads_of(self._simulation, block.layers, feeds)

        def keeps(name: str, quant: TensorQuant) -> bool:
            return name in self._learned or quant.spec.format.bits > max_bits

        return collected(self._simulation, self.plan, block, spreads, SoftRounding, keeps)

    def _keep(self, block: Block, parts: Parts, outcome: Outcome) -> None:
        """Write what was learned into the plan and into the simulation."""
        self.outcomes.append(outcome)
        self._learned |= parts.weights.keys()
        parts.settle()
        self._simulation.constants.update(parts.hard())
        if outcome.reason:
            self._ctx.note(SOURCE, block.name, f"this block stays as it was: {outcome.reason}")
            return
        self.plan = written(self._simulation, self.plan, block, parts)
