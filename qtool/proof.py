"""The proof of a compilation: float, Q/DQ and packed on the same data, end to end and layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from passes.errors import UsageError
from passes.execution.metrics import Metric, agreement, choose_metric, drop_between
from passes.execution.session import Level
from passes.ir.onnx_io import read_model, to_proto
from passes.lowering.encoding import Form
from qtool.agreement import LayerAgreement, layer_agreement, worst
from qtool.runners import OnnxRunner, PackedRunner, Runner, run_all
from qtool.runtime import open_engine

if TYPE_CHECKING:
    from passes.api import PassContext
    from passes.execution.dataset import Dataset
    from passes.ir.model import Model
    from qtool.lowering import Lowered
    from qtool.request import QuantizeRequest

LAYER_SAMPLES = 4
"""Samples on which layers are compared one by one."""
SMOKE_SAMPLES = 1
"""Calibration samples on which the layers are compared when there is no evaluation data."""


@dataclass(frozen=True)
class Proof:
    """Measured results.

    Attributes:
        metric: what was measured; ``None`` without evaluation data.
        samples: how many samples.
        float_value: metric of the model that came in.
        quantized: metric of the Q/DQ model at ONNX Runtime's exact level.
        packed: metric of the artifact.
        top1_vs_float: share of samples on which Q/DQ and float agree.
        top1_vs_packed: share of samples on which Q/DQ and packed agree.
        layers: agreement of Q/DQ and packed by layer, with equal inputs.
    """

    metric: Metric | None = None
    samples: int = 0
    float_value: float | None = None
    quantized: float | None = None
    packed: float | None = None
    top1_vs_float: float | None = None
    top1_vs_packed: float | None = None
    layers: tuple[LayerAgreement, ...] = ()

    @property
    def max_lsb(self) -> float | None:
        """Largest difference of any layer in steps, or ``None`` without a packed form."""
        return worst(self.layers) if self.layers else None

    def missed_drop(self, max_drop: float | None) -> str:
        """Say by how much the worse of the forms misses an allowed drop; empty where none does."""
        if max_drop is None or self.float_value is None or self.metric is None:
            return ""
        forms = {"the Q/DQ model": self.quantized, "the artifact": self.packed}
        drops = {
            form: drop_between(self.float_value, value) for form, value in forms.items() if value is not None
        }
        if not drops or max(drops.values()) <= max_drop:
            return ""
        form = max(drops, key=lambda form: drops[form])
        fell = f"{self.metric.name} of {form} fell by {100 * drops[form]:.2f} points"
        return f"{fell}; {100 * max_drop:.2f} were allowed"


def prove(request: QuantizeRequest, model: Model, ctx: PassContext, lowered: Lowered) -> Proof:
    """Compare the forms on held-out data, or, without any, layer by layer on a calibration sample."""
    data: Dataset | None = ctx.evaluation or ctx.calibration or ctx.training
    if data is None:
        return Proof()
    samples = LAYER_SAMPLES if ctx.evaluation is not None else SMOKE_SAMPLES
    layers: tuple[LayerAgreement, ...] = ()
    if lowered.packed is not None:
        found = layer_agreement(lowered.qdq[Form.QDQ], lowered.packed, data, samples, ctx.workers)
        layers = tuple(found)
    return Proof(layers=layers) if ctx.evaluation is None else _measure(request, model, ctx, lowered, layers)


def _measure(
    request: QuantizeRequest,
    model: Model,
    ctx: PassContext,
    lowered: Lowered,
    layers: tuple[LayerAgreement, ...],
) -> Proof:
    data: Dataset = ctx.evaluation
    metric = choose_metric(request.metric, data.labels, request.label_offset)
    original = OnnxRunner.of(to_proto(read_model(request.model, model.mapped)), Level.DEFAULT, ctx.workers)
    exact = OnnxRunner.of(lowered.qdq[Form.QDQ], Level.BASIC, ctx.workers)
    runners: list[Runner] = [original, exact]
    if lowered.packed is not None:
        runners.append(PackedRunner(open_engine(lowered.packed, threads=ctx.workers)[0], ctx.workers))
    reference, *results = run_all(runners, data, ctx.progress)
    if any(result[0].ndim < 1 for result in results):
        raise UsageError("the model's output has no sample axis; no metric can be computed")
    truth = data.truth(metric)
    values = [metric(outputs, reference, truth) for outputs in (reference, *results)]
    return Proof(
        metric=metric,
        samples=data.count,
        float_value=values[0],
        quantized=values[1],
        packed=values[2] if len(values) > 2 else None,
        top1_vs_float=agreement(results[0], reference),
        top1_vs_packed=agreement(results[0], results[1]) if len(results) > 1 else None,
        layers=layers,
    )
