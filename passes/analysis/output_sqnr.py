"""Sensitivity by measurement: the noise at the model's output with one quantizer on and all others off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from passes.analysis.sensitivity import SensitivityTable
from passes.analysis.workloads import Workloads
from passes.api import Analysis, Aspect, PassContext
from passes.execution.collect import CollectActivations
from passes.execution.ranges import act_params, weight_params
from passes.execution.session import Level
from passes.execution.simulate import Outputs, run_proto
from passes.ir.layers import Layer
from passes.ir.onnx_io import to_proto
from passes.ir.plan import Role, TensorQuant
from passes.ir.setup import quantizer_setup
from passes.ir.specs import act_spec, weight_spec
from passes.lowering.qdq import emit_activations
from passes.numerics import RangeMethod, fake_quantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup, TensorGroup


MACS_PER_RUN = 5_000_000_000
MIN_SAMPLES, MAX_SAMPLES = 16, 128


@dataclass(frozen=True)
class OutputSqnr(Analysis[SensitivityTable]):
    """Quantize one weight, or one group of activations, at a time, and compare the outputs with float.

    The loss is the ratio of noise to signal at the output, the inverse of the SQNR that AIMET and others rank
    layers by. It costs one run of the network per quantizer and width.

    Attributes:
        bits: widths to measure.
        samples: calibration samples per run; 0 takes 16 of a large network and up to 128 of a small one.
        method: range estimator of activations.
    """

    name: ClassVar[str] = "sqnr"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    samples: int = 0
    method: RangeMethod = RangeMethod.MSE

    def run(self, model: Model, ctx: PassContext) -> SensitivityTable:
        """Measure all quantizers."""
        setup = quantizer_setup(model.graph, ctx.target)
        stats = ctx.get(CollectActivations(), model)
        bench = _Bench(model, ctx, setup, self.samples or affordable_samples(model, ctx))
        weights: dict[str, dict[int, float]] = {layer.name: {} for layer in setup.layers}
        acts: dict[str, dict[int, float]] = {
            layer.name: dict.fromkeys(self.bits, 0.0) for layer in setup.layers
        }
        places: tuple[Layer | TensorGroup, ...] = (*setup.layers, *setup.groups)
        jobs = [(bits, place) for bits in self.bits for place in places]
        for done, (bits, place) in enumerate(jobs):
            if isinstance(place, Layer):
                if place.weight is not None:
                    weights[place.name][bits] = bench.weight_noise(place, bits)
            elif place.readers:
                spec = act_spec(bits, setup)
                quant = TensorQuant(Role.ACT, spec, act_params(place, spec, stats, self.method))
                acts[place.readers[0]][bits] += bench.act_noise(dict.fromkeys(place.members, quant))
            ctx.progress("analyze", done + 1, len(jobs))
        return SensitivityTable(self.name, weights, acts)


def affordable_samples(model: Model, ctx: PassContext) -> int:
    """Return how many samples one measurement may take: more for a small network."""
    macs = sum(work.macs for work in ctx.get(Workloads(), model).values())
    return int(np.clip(MACS_PER_RUN // max(macs, 1), MIN_SAMPLES, MAX_SAMPLES))


class _Bench:
    """Runs variants of one model on the same samples."""

    def __init__(self, model: Model, ctx: PassContext, setup: QuantizerSetup, samples: int) -> None:
        self._model, self._ctx, self._setup, self._samples = model, ctx, setup, samples
        self._proto = to_proto(model)
        self._slots = {tensor.name: tensor for tensor in self._proto.graph.initializer}
        self._reference = self._run(self._proto)
        self._power = sum(_power(output - output.mean(axis=0)) for output in self._reference)

    def weight_noise(self, layer: Layer, bits: int) -> float:
        """Return noise over signal with the weights of one layer rounded in place: the model stays float."""
        slots = [self._slots[part.weight.name] for part in layer.parts]  # type: ignore[union-attr]
        kept = [TensorProto.FromString(slot.SerializeToString()) for slot in slots]
        for slot, part in zip(slots, layer.parts, strict=True):
            values, spec = part.weight_values(), weight_spec(part, bits, self._setup)
            rounded = fake_quantize(values, spec, weight_params(values, spec))
            slot.CopyFrom(numpy_helper.from_array(rounded, slot.name))
        try:
            return self._noise(self._proto)
        finally:
            for slot, original in zip(slots, kept, strict=True):
                slot.CopyFrom(original)

    def act_noise(self, tensors: dict[str, TensorQuant]) -> float:
        """Return noise over signal with one group of activations quantized."""
        return self._noise(emit_activations(self._proto, tensors))

    def _noise(self, proto: ModelProto) -> float:
        outputs = zip(self._run(proto), self._reference, strict=True)
        return sum(_power(output - reference) for output, reference in outputs) / max(self._power, 1e-30)

    def _run(self, proto: ModelProto) -> Outputs:
        return run_proto(proto, self._ctx.calibration, Level.DEFAULT, self._ctx.workers, self._samples)


def _power(values: NDArray[np.float32]) -> float:
    return float(np.square(values, dtype=np.float64).sum())
