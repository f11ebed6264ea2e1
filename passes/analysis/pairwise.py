"""Interactions: what two rounded weights do together beyond what they do alone.

[Deng et al., CLADO]: ``cross(i, j) = L(i, j) - L(i) - L(j) + L()`` from runs with two layers quantized. With
the losses of single layers on its diagonal it is the matrix of a quadratic programme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from passes.analysis.changes import Change, OutputReference, Power, reason_without_logits
from passes.analysis.places import by_data, weight_places
from passes.api import Analysis, Aspect, PassContext
from passes.errors import UsageError
from passes.execution.feed_source import samples_in
from passes.execution.scale_memo import ScaleMemos
from passes.execution.stages import StagedModel
from passes.ir.onnx_io import to_proto
from passes.ir.setup import quantizer_setup
from passes.numerics import RangeMethod
from passes.rounding.local import LocalRoundings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.analysis.places import WeightPlace
    from passes.execution.stages import Variant
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.numerics import QuantParams, QuantSpec

BATCH = 8


@dataclass(frozen=True, slots=True)
class PairTable:
    """Losses of single weights and of pairs.

    Attributes:
        metric: ``kl`` (nats per distribution) or ``noise`` (over signal, at the output).
        entries: layer name and width of each row and column, in order of execution.
        matrix: single losses on the diagonal, half a cross term on either side of it: the loss of a plan is
            ``x.T @ matrix @ x`` for the 0-1 vector x of its entries. Two widths of one layer have no term.
        samples: number of samples.
    """

    metric: str
    entries: tuple[tuple[str, int], ...]
    matrix: NDArray[np.float64]
    samples: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        entries = [{"layer": name, "bits": bits} for name, bits in self.entries]
        return {
            "metric": self.metric,
            "entries": entries,
            "matrix": self.matrix.tolist(),
            "samples": self.samples,
        }


@dataclass(frozen=True)
class Pairwise(Analysis[PairTable]):
    """Measure all pairs of weights at some widths: half the square of layers times widths, in runs.

    Attributes:
        bits: widths to measure.
        samples: calibration samples, spread over the set.
    """

    name: ClassVar[str] = "pairwise"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (4,)
    samples: int = 16

    def run(self, model: Model, ctx: PassContext) -> PairTable:
        """Measure singles and pairs.

        Raises:
            UsageError: there are no calibration data.
        """
        if ctx.calibration is None:
            raise UsageError("this needs calibration data; give --calib")
        setup, memo = quantizer_setup(model.graph, ctx.target), ctx.get(ScaleMemos(), model)

        def params(layer: Layer, spec: QuantSpec) -> QuantParams:
            return memo.weight(layer, spec, RangeMethod.MSE)

        staged, local = StagedModel(to_proto(model), ctx.workers), ctx.get(LocalRoundings(), model)
        found = weight_places(setup, staged, by_data(setup, params, local), local)
        places = sorted(found, key=lambda place: place.start)
        scan = _PairScan(staged, places, self.bits)
        batches = list(ctx.calibration.spread(BATCH, self.samples))
        for done, feeds in enumerate(batches):
            scan.measure(feeds)
            ctx.progress("analyze", done + 1, len(batches))
        return scan.table()


class _PairScan:
    """Adds up changes of single weights and of pairs over batches."""

    def __init__(self, staged: StagedModel, places: Sequence[WeightPlace], bits: Sequence[int]) -> None:
        self._staged = staged
        self._entries = [(place, width) for place in places for width in bits]
        self._variants = [place.variant(width) for place, width in self._entries]
        self._changes: dict[tuple[int, int], Change] = {}
        self._power, self._rows, self._samples, self._divergence = Power(), 0, 0, False

    def measure(self, feeds: dict[str, NDArray[Any]]) -> None:
        """Run one batch through every pair; it restarts at the first weight of the pair."""
        outputs = self._staged.finish(feeds, 0)
        reference = OutputReference(outputs)
        self._divergence = not reason_without_logits(outputs)
        self._power.add(outputs)
        self._rows += reference.rows
        self._samples += samples_in(feeds) or 1
        values, at = feeds, 0
        for i, (place, _) in enumerate(self._entries):
            values, at = self._staged.advance(values, at, place.start), place.start
            for j in range(i, len(self._entries)):
                if i == j or self._entries[j][0] is not place:
                    found = self._staged.finish(values, at, self._variant(i, j))
                    self._changes[i, j] = self._changes.get((i, j), Change()) + reference.change(found)

    def _variant(self, i: int, j: int) -> Variant:
        return self._variants[i] | self._variants[j]

    def table(self) -> PairTable:
        """Return single losses and cross terms."""
        losses = {pair: self._loss(change) for pair, change in self._changes.items()}
        matrix = np.zeros((len(self._entries), len(self._entries)))
        for (i, j), loss in losses.items():
            matrix[i, j] = loss if i == j else (loss - losses[i, i] - losses[j, j]) / 2
            matrix[j, i] = matrix[i, j]
        metric = "kl" if self._divergence else "noise"
        entries = tuple((place.name, width) for place, width in self._entries)
        return PairTable(metric, entries, matrix, self._samples)

    def _loss(self, change: Change) -> float:
        if self._divergence:
            return change.divergence / max(self._rows, 1)
        return change.noise / max(self._power.total, 1e-30)
