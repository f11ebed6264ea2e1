"""What each single quantizer does to the outputs, all others being off, at every width.

The float model runs once per batch of samples, from quantizer to quantizer; from each of them the rest of
the network runs again, once per width. So a quantizer at the end of the network costs next to nothing, and
no more is in memory than the frontier at one point, for one batch.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.analysis.changes import Change, OutputReference, Power, reason_without_logits
from passes.analysis.places import ActPlace, WeightPlace, act_places, by_data, fewer_planes, weight_places
from passes.api import Analysis, Aspect, PassContext
from passes.errors import UsageError
from passes.execution.collect import CollectActivations
from passes.execution.fake_quant import FakeQuantizer
from passes.execution.feed_source import samples_in
from passes.execution.scale_memo import ScaleMemos
from passes.execution.stages import StagedModel
from passes.ir.onnx_io import to_proto
from passes.ir.setup import quantizer_setup
from passes.numerics import RangeMethod
from passes.rounding.local import LocalRoundings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup
    from passes.ir.tensor_groups import TensorGroup
    from passes.numerics import QuantParams, QuantSpec

BATCH = 8
PASSES = 40.0
"""Cost to aim at, in passes of the float model over the calibration data."""
MIN_SAMPLES, MAX_SAMPLES = 16, 256
Key = tuple[str, int]


class Rounding(StrEnum):
    """How the weights of fewer bits come about."""

    DATA = "data"
    """By what the layer multiplies, with scales for each width: close to what later passes make of it."""
    PLANES = "planes"
    """The codes of eight bits lose their lowest bits."""


@dataclass(frozen=True, slots=True)
class SingleChanges:
    """Changes of the outputs.

    Attributes:
        weights: by layer name and width.
        acts: by name of the tensor group and width.
        power: energy of the outputs around their mean, over the same samples.
        rows: number of distributions compared; 0 when outputs stand for none.
        samples: number of samples.
        reason: why there are no divergences; empty when there are.
    """

    weights: Mapping[Key, Change]
    acts: Mapping[Key, Change]
    power: float
    rows: int
    samples: int
    reason: str


@dataclass(frozen=True)
class OneAtATime(Analysis[SingleChanges]):
    """Measure weights and activations, one quantizer at a time.

    Attributes:
        bits: widths to measure.
        samples: calibration samples, spread over the set; 0 for as many as cost about `PASSES` passes.
        method: range estimator of activations.
        rounding: of weights.
        activations: measure those as well.
    """

    name: ClassVar[str] = "one-at-a-time"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    samples: int = 0
    method: RangeMethod = RangeMethod.MSE
    rounding: Rounding = Rounding.DATA
    activations: bool = True

    def run(self, model: Model, ctx: PassContext) -> SingleChanges:
        """Measure all quantizers.

        Raises:
            UsageError: there are no calibration data.
        """
        if ctx.calibration is None:
            raise UsageError("this needs calibration data; give --calib")
        setup = quantizer_setup(model.graph, ctx.target)
        staged = StagedModel(to_proto(model), ctx.workers)
        places = self._places(model, ctx, setup, staged)
        scan = _Scan(staged, places, self.bits)
        samples = self.samples or affordable(len(places) * len(self.bits), ctx.calibration.count)
        batches = list(ctx.calibration.spread(BATCH, samples))
        for done, feeds in enumerate(batches):
            scan.measure(feeds)
            ctx.progress("analyze", done + 1, len(batches))
        return scan.result()

    def _places(
        self, model: Model, ctx: PassContext, setup: QuantizerSetup, staged: StagedModel
    ) -> list[WeightPlace | ActPlace]:
        memo = ctx.get(ScaleMemos(), model)

        def weight(layer: Layer, spec: QuantSpec) -> QuantParams:
            return memo.weight(layer, spec, RangeMethod.MSE)

        local = ctx.get(LocalRoundings(), model)
        by_planes = self.rounding is Rounding.PLANES
        rounded = fewer_planes(setup, weight) if by_planes else by_data(setup, weight, local)
        places: list[WeightPlace | ActPlace] = [*weight_places(setup, staged, rounded, local)]
        if self.activations:
            stats = ctx.get(CollectActivations(), model)

            def act(group: TensorGroup, spec: QuantSpec) -> QuantParams:
                return memo.act(group, spec, stats, self.method)

            places += act_places(setup, staged, act, FakeQuantizer(ctx.workers))
        return sorted(places, key=lambda place: place.start)


class _Scan:
    """Adds up changes over batches."""

    def __init__(
        self, staged: StagedModel, places: Sequence[WeightPlace | ActPlace], bits: Sequence[int]
    ) -> None:
        self._staged, self._places, self._bits = staged, places, bits
        self._weights: dict[Key, Change] = defaultdict(Change)
        self._acts: dict[Key, Change] = defaultdict(Change)
        self._power, self._rows, self._samples, self._reason = Power(), 0, 0, ""

    def measure(self, feeds: dict[str, NDArray[Any]]) -> None:
        """Run one batch through every place at every width."""
        outputs = self._staged.finish(feeds, 0)
        self._reason = reason_without_logits(outputs)
        reference = OutputReference(outputs)
        self._power.add(outputs)
        self._rows += reference.rows
        self._samples += samples_in(feeds) or 1
        values, at = feeds, 0
        for place in self._places:
            values, at = self._staged.advance(values, at, place.start), place.start
            changes = self._weights if isinstance(place, WeightPlace) else self._acts
            for bits in self._bits:
                outputs = self._staged.finish(values, at, place.variant(bits))
                changes[place.name, bits] += reference.change(outputs)

    def result(self) -> SingleChanges:
        """Return what was measured."""
        return SingleChanges(
            dict(self._weights), dict(self._acts), self._power.total, self._rows, self._samples, self._reason
        )


def affordable(runs: int, count: int, passes: float = PASSES) -> int:
    """Return how many samples cost a number of passes over the calibration set, half a network per run.

    Args:
        runs: quantizers times widths.
        count: size of the calibration set.
        passes: cost to aim at.
    """
    return int(np.clip(2 * passes * count / max(runs, 1), MIN_SAMPLES, MAX_SAMPLES))
