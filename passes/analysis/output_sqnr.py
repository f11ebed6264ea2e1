"""Sensitivity by measurement: the noise at the model's output when one quantizer is on and all others are off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.analysis.sensitivity import SensitivityTable
from passes.api import Analysis, Aspect, PassContext
from passes.execution.collect import CollectActivations
from passes.execution.ranges import act_params, weight_params
from passes.execution.simulate import Outputs, run_float, run_proto
from passes.execution.session import Level
from passes.ir.plan import QuantPlan, Role, TensorQuant
from passes.ir.setup import quantizer_setup
from passes.ir.specs import act_spec, weight_spec
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq
from passes.numerics import RangeMethod

if TYPE_CHECKING:
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup


@dataclass(frozen=True)
class OutputSqnr(Analysis[SensitivityTable]):
    """Quantize one weight, or one group of activations, at a time, and compare the outputs with float.

    The loss is the ratio of noise to signal at the output, the inverse of the SQNR that AIMET and others rank
    layers by. It costs one run of the network per quantizer and width.

    Attributes:
        bits: widths to measure.
        samples: calibration samples per run.
        method: range estimator of activations.
    """

    name: ClassVar[str] = "sqnr"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    samples: int = 32
    method: RangeMethod = RangeMethod.MSE

    def run(self, model: Model, ctx: PassContext) -> SensitivityTable:
        """Measure all quantizers."""
        setup = quantizer_setup(model.graph, ctx.target.shared_parameter_ops)
        stats = ctx.get(CollectActivations(), model)
        reference = run_float(model, ctx.calibration, ctx.workers, self.samples)
        weights: dict[str, dict[int, float]] = {layer.name: {} for layer in setup.layers}
        acts: dict[str, dict[int, float]] = {layer.name: dict.fromkeys(self.bits, 0.0) for layer in setup.layers}
        total, done = len(self.bits) * (len(setup.layers) + len(setup.groups)), 0
        for bits in self.bits:
            for layer in setup.layers:
                if layer.weight is not None:
                    spec = weight_spec(layer, bits)
                    quant = TensorQuant(Role.WEIGHT, spec, weight_params(layer.weight_values(), spec))
                    plan = QuantPlan(tensors={layer.weight.name: quant})
                    weights[layer.name][bits] = self._measure(model, setup, plan, ctx, reference)
                done += 1
                ctx.progress("analyze", done, total)
            for group in setup.groups:
                if group.readers:
                    spec = act_spec(bits)
                    quant = TensorQuant(Role.ACT, spec, act_params(group, spec, stats, self.method))
                    plan = QuantPlan(tensors=dict.fromkeys(group.members, quant))
                    acts[group.readers[0]][bits] += self._measure(model, setup, plan, ctx, reference)
                done += 1
                ctx.progress("analyze", done, total)
        return SensitivityTable(self.name, weights, acts)

    def _measure(
        self, model: Model, setup: QuantizerSetup, plan: QuantPlan, ctx: PassContext, reference: Outputs
    ) -> float:
        """Return noise over signal at the output under a plan of one quantizer."""
        kept, model.plan = model.plan, plan
        try:
            proto = emit_qdq(model, setup, Form.QCDQ, partial=True)
        finally:
            model.plan = kept
        outputs = run_proto(proto, ctx.calibration, Level.BASIC, ctx.workers, self.samples)
        noise = sum(float(np.square(o - r, dtype=np.float64).sum()) for o, r in zip(outputs, reference, strict=True))
        signal = sum(float(np.square(r - r.mean(axis=0), dtype=np.float64).sum()) for r in reference)
        return noise / max(signal, 1e-30)
