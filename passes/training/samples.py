"""Activations between two blocks, float and quantized, for all samples; nothing else is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from passes.errors import ModelError
from passes.execution.dataset import fixed_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from passes.api import PassContext
    from passes.execution.dataset import Dataset
    from passes.training.blocks import Block
    from passes.training.bridge import Bridge, Values
    from passes.training.simulation import Simulation


MAX_BYTES = 1 << 30
"""Memory for the activations of all samples between two blocks, float and quantized ones together."""
HELD_OUT = 8
"""One sample in so many is not learned from, but decides what is kept."""
MOST_JUDGES = 64
"""Samples that decide what is kept where none are held out."""
FEW_SAMPLES = 64
"""Below this many samples the journal says that what is learned may fit them rather than the model."""


@dataclass
class Samples:
    """Tensors of every sample, by name, in main memory.

    Attributes:
        values: each of shape (units, rows per unit, ...).
        batched: False for a model of fixed batch size, whose units are whole batches, run one at a time.
    """

    values: dict[str, Tensor]
    batched: bool

    @property
    def units(self) -> int:
        """Number of samples, or of batches where the model fixes their size."""
        return len(next(iter(self.values.values())))

    def take(self, names: Sequence[str], index: Tensor, device: torch.device) -> Values:
        """Return some units of some tensors, in the shape that the model has them."""
        return {name: self.values[name][index].flatten(0, 1).to(device) for name in names}

    def forget(self, keep: frozenset[str]) -> None:
        """Drop every tensor that is not needed any more."""
        self.values = {name: value for name, value in self.values.items() if name in keep}


@dataclass(frozen=True, slots=True)
class Split:
    """Which units are learned from, and which decide what is kept.

    Attributes:
        learned: indices, shuffled.
        held: others; where none are held out, some of those learned from.
    """

    learned: Tensor
    held: Tensor

    @classmethod
    def of(cls, units: int, rng: np.random.Generator, every: int = HELD_OUT, copies: int = 1) -> Split:
        """Divide a number of units at random.

        Args:
            units: samples, and then their mirror images where there are two copies.
            rng: decides.
            every: one in so many samples is held out; 0 for none.
            copies: 2 with mirror images: then those of the samples held out decide.
        """
        count = units // copies
        order = torch.from_numpy(rng.permutation(count))
        out = (
            torch.arange(count) % every == 0 if every and count > 1 else torch.zeros(count, dtype=torch.bool)
        )
        learned = order[~out]
        held = order[out] + (copies - 1) * count if bool(out.any()) else order[:MOST_JUDGES]
        return cls(torch.cat([learned + copy * count for copy in range(copies)]), held)


def load_samples(data: Dataset, limit: int) -> Samples:
    """Read the inputs of the model.

    Args:
        data: calibration data.
        limit: number of samples, at least one batch.
    """
    data.check_even("learning")
    batch = fixed_batch(data.inputs)
    feeds = list(data.batches(batch or limit, limit))
    parts = {name: [torch.from_numpy(np.array(feed[name])) for feed in feeds] for name in feeds[0]}
    joined = {name: torch.cat(tensors) for name, tensors in parts.items()}
    rows = batch or 1
    return Samples({name: it.reshape(-1, rows, *it.shape[1:]) for name, it in joined.items()}, batch is None)


def load_fitting(ctx: PassContext, source: str, limit: int, copies: int) -> Samples:
    """Read the inputs of the model, as many samples as memory allows; the journal tells when that is few.

    Args:
        ctx: with calibration data.
        source: who asks, for the journal.
        limit: number of samples to use at most; 0 for all.
        copies: of the inputs that the caller keeps at the same time.
    """
    data = ctx.calibration
    one = load_samples(data, 1)
    size = sum(value.nbytes for value in one.values.values())
    rows = int(next(iter(one.values.values())).shape[1])
    wanted = min(limit or data.count, data.count)
    count = min(wanted, max(MAX_BYTES // (copies * size), 1) * rows)
    if count < wanted:
        ctx.note(source, "samples", f"{count} of {wanted} are used: no more fit into memory")
    if count < FEW_SAMPLES:
        ctx.note(source, "samples", f"{count} are few: what is learned may fit only these")
    return load_samples(data, count)


def mirrored(samples: Samples) -> Samples:
    """Return the samples, and behind them their mirror images along the last axis of images (N, C, H, W)."""
    values = {
        name: torch.cat([value, value.flip(-1) if value.ndim == 5 else value])
        for name, value in samples.values.items()
    }
    return Samples(values, samples.batched)


def affordable(bridge: Bridge, one: Samples, blocks: Sequence[Block], count: int) -> int:
    """Return how many samples fit into memory.

    Args:
        bridge: the graph.
        one: the inputs of one unit.
        blocks: in graph order.
        count: the samples there are.
    """
    names = {name for block in blocks for name in (*block.entries, *block.exits)}
    feeds = one.take(list(one.values), torch.arange(1), bridge.device)
    with torch.no_grad():
        sizes = {name: int(value.nbytes) for name, value in bridge.run(feeds, sorted(names)).items()}
    rows = int(next(iter(one.values.values())).shape[1])
    most = max(sum(sizes[name] for name in (*block.entries, *block.exits)) for block in blocks)
    return min(count, max(MAX_BYTES // max(2 * most, 1), 1) * rows)


def quantized_inputs(floats: Samples, simulation: Simulation) -> dict[str, Tensor]:
    """Return the inputs of the model as the quantized model reads them."""
    device = simulation.bridge.device
    with torch.no_grad():
        return {
            name: simulation.steps[name](value.to(device)).cpu() if name in simulation.steps else value
            for name, value in floats.values.items()
        }


def batches(units: int, size: int) -> Iterator[Tensor]:
    """Yield indices of all units, in order."""
    return (torch.arange(start, min(start + size, units)) for start in range(0, units, size))


def advance(
    bridge: Bridge,
    samples: Samples,
    block: Block,
    size: int,
    fixed: Mapping[str, Tensor],
    changes: Mapping[str, Callable[[Tensor], Tensor]],
) -> dict[str, Tensor]:
    """Return the exits of a block for all samples, each of shape (units, rows per unit, ...).

    Args:
        bridge: the graph.
        samples: its entries.
        block: what to run.
        size: units at a time.
        fixed: weights and biases in place of those of the model.
        changes: quantizers of activations, by name.

    Raises:
        ModelError: an activation is NaN or infinite; the message names it and the block.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in block.exits}
    with torch.no_grad():
        for index in batches(samples.units, size):
            feeds = samples.take(block.entries, index, bridge.device)
            for name, value in bridge.run({**feeds, **fixed}, block.exits, changes).items():
                if not torch.isfinite(value).all():
                    raise ModelError(f"block {block.name}: activation {name!r} is NaN or infinite")
                found[name].append(value.reshape(len(index), -1, *value.shape[1:]).cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}
