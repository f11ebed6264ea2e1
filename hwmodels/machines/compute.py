"""How fast a compute unit multiplies: a rate for every pair of precisions, looked up for whole arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.fields import spec_error
from hwmodels.types import Precision

if TYPE_CHECKING:
    from hwmodels.arrays import Floats, LayerArrays, PairArrays
    from hwmodels.rules import Arithmetic
    from hwmodels.spec import HardwareSpec


@dataclass(frozen=True, slots=True)
class Compute:
    """Table ``[compute]``: sustained rates, pair by pair.

    Attributes:
        pairs: pairs of precisions such as ``"w4a8"``, exactly those of ``[arithmetic]``.
        macs_per_cycle: multiply-accumulates per cycle of dense layers, one rate per pair.
        depthwise_macs_per_cycle: the same for depthwise convolutions, which share no input between outputs.
        clock_hz: cycles per second.
        overhead_s: time to start a layer.
        source: where this comes from.
    """

    pairs: tuple[str, ...]
    macs_per_cycle: tuple[float, ...]
    depthwise_macs_per_cycle: tuple[float, ...]
    clock_hz: float
    source: str
    overhead_s: float = 0.0

    def cycles(self, layers: LayerArrays, run: PairArrays, macs: Floats) -> Floats:
        """Return the cycles of the unit, without the start of the layer.

        Args:
            layers: geometry; a depthwise layer takes its exact MACs.
            run: supported pairs.
            macs: work of the other layers, counted as the unit spends it.
        """
        dense = macs / self.by_pair(run, self.macs_per_cycle)
        depthwise = layers.macs / self.by_pair(run, self.depthwise_macs_per_cycle)
        return np.where(layers.depthwise > 0, depthwise, dense)

    def by_pair(self, run: PairArrays, rates: tuple[float, ...]) -> Floats:
        """Return ``rates``, one per pair of this table, laid out as ``run``; NaN for a pair without one."""
        found = np.full(run.weight.shape, np.nan)
        for text, rate in zip(self.pairs, rates, strict=True):
            pair = Precision.parse(text)
            found[(run.weight == pair.weight_bits) & (run.act == pair.act_bits)] = rate
        return found


def read_compute(spec: HardwareSpec, arithmetic: Arithmetic) -> Compute:
    """Read ``[compute]`` and check that it has a rate for every pair of ``[arithmetic]``.

    Raises:
        SpecError: the table breaks a rule of `HardwareSpec.table`, a pair is missing, unknown or listed
            twice, or the lists differ in length.
    """
    table = spec.table("compute", Compute)
    known = sorted({str(pair) for pairs in arithmetic.by_kind.values() for pair in pairs})
    if sorted(table.pairs) != known:
        expected = f"the pairs of [arithmetic], {', '.join(known)}, each once"
        raise spec_error(spec.file, "[compute] pairs", expected, ", ".join(table.pairs)[:80] or "none")
    for key in ("macs_per_cycle", "depthwise_macs_per_cycle"):
        count = len(getattr(table, key))
        if count != len(known):
            raise spec_error(spec.file, f"[compute] {key}", f"{len(known)} rates, one per pair", str(count))
    return table
