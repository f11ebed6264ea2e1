"""`Measurer`: the metric of a plan, by running it; and when enough of it has been seen."""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

import onnx

from hwmodels import HardwareError
from passes.api import PassContext
from passes.errors import QtoolError
from passes.execution.collect import CollectActivations
from passes.execution.joined import joined
from passes.execution.simulator import Simulator
from passes.ir.onnx_io import model_from_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.rounding.local import LocalRoundings
from passes.search.point import Evaluation
from passes.transform.bias_correction import BiasCorrection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hwmodels import Precision
    from passes.ir.plan import QuantPlan
    from passes.search.payload import Payload

FIRST_LOOK = 64
"""Samples after which a plan may be given up; looks follow at twice as many, and so on."""
CONFIDENCE = 3.7
"""Standard deviations: one plan in 10,000 is given up wrongly per look, were samples independent."""
SHARES = ("top1", "top5", "agreement")
"""Metrics that are shares of samples, so that a part of them bounds the whole."""


class Measurer:
    """Measures plans of one model, one at a time.

    Memory stays as it is however many plans are measured.
    """

    def __init__(self, payload: Payload) -> None:
        """Open the model and its data."""
        self._payload = payload
        proto = onnx.ModelProto.FromString(payload.model)
        self._model = model_from_proto(proto, payload.path, payload.sha256)
        self._ctx = PassContext(payload.target, workers=payload.threads)
        self._ctx.put(CollectActivations(), payload.stats)
        self._setup = quantizer_setup(self._model.graph, payload.target)
        self._simulator = Simulator(self._model, self._setup, payload.data, payload.threads)

    def plan(self, bits: Mapping[str, Precision]) -> QuantPlan:
        """Return the plan of some widths, with scales, weights rounded by data and corrected biases.

        Where plans are retrained it is, from there.
        """
        model, ctx = self._model, self._ctx
        model.plan = plan_of_bits(self._setup, bits)
        self._payload.scales.run(model, ctx)
        lent = self._payload.beacons.lend(model.plan, self._setup)
        model.plan = ctx.get(LocalRoundings(), model).plan(lent, self._setup)
        BiasCorrection().run(model, ctx)
        if self._payload.retraining is not None:
            self._payload.retraining.run(model, ctx)
        ctx.journal.clear()
        return self._model.plan

    def measure(self, bits: Mapping[str, Precision]) -> Evaluation:
        """Run a plan and return its metric; whatever goes wrong is told in the evaluation.

        Args:
            bits: precision of every layer, by name.
        """
        before = self._simulator.seconds
        try:
            outputs, count = self._run(self.plan(bits))
        except (QtoolError, HardwareError) as error:
            return Evaluation.failed(f"the plan cannot be run: {error}")
        try:
            value = self._value(outputs, count)
        # The function may be the user's, and may raise anything.
        except Exception as error:
            return Evaluation.failed(
                f"metric {self._payload.metric.name} raised {type(error).__name__}: {error}"
            )
        if not isfinite(value):
            return Evaluation.failed(f"metric {self._payload.metric.name} is {value}")
        return Evaluation(value, count, seconds=(self._simulator.seconds - before) / count)

    def _run(self, plan: QuantPlan) -> tuple[list[NDArray[Any]], int]:
        """Return outputs and number of samples; fewer than all where the plan turned out hopeless."""
        if not self._gives_up:
            return joined(self._simulator.stream(plan)), self._payload.data.count
        batches: list[list[NDArray[Any]]] = []
        done, look = 0, FIRST_LOOK
        for outputs in self._simulator.stream(plan):
            batches.append(outputs)
            done += len(outputs[0])
            if done >= look:
                look *= 2
                if self._is_hopeless(joined(batches), done):
                    break
        return joined(batches), done

    @property
    def _gives_up(self) -> bool:
        payload = self._payload
        return bool(payload.hopeless) and payload.metric.name in SHARES and payload.data.even

    def _is_hopeless(self, outputs: list[NDArray[Any]], count: int) -> bool:
        payload = self._payload
        return upper_bound(self._value(outputs, count), count) < payload.float_value - payload.hopeless

    def _value(self, outputs: list[NDArray[Any]], count: int) -> float:
        payload = self._payload
        truth = None if payload.truth is None else payload.truth[:count]
        pairs = zip(payload.reference, outputs, strict=True)
        return payload.metric(outputs, [array[: len(found)] for array, found in pairs], truth)


def upper_bound(share: float, count: int, deviations: float = CONFIDENCE) -> float:
    """Return the upper end of Wilson's interval (1927) for a share that was seen on `count` samples."""
    square = deviations**2
    spread = deviations * sqrt(share * (1 - share) / count + square / (4 * count**2))
    return (share + square / (2 * count) + spread) / (1 + square / count)
