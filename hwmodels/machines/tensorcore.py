"""GPUs whose tensor cores multiply narrow integers."""

from __future__ import annotations

from dataclasses import dataclass

from hwmodels.machines.blocked import BlockedMachine


@dataclass(frozen=True)
class TensorCore(BlockedMachine):
    """A GPU that runs one kernel per layer, out of its second-level cache and its memory.

    latency = overhead + max(padded MACs / rate(w, a) / clock, traffic / bandwidth); a depthwise layer, which
    tensor cores would run almost empty, goes at a rate of its own. The overhead is the launch of a kernel.
    Energy = board power * latency, where the file has a power.
    """
