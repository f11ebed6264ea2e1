"""Give every tensor of the plan its scale and zero point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError
from passes.execution.collect import HISTOGRAMS, CollectActivations
from passes.ir.setup import quantizer_setup
from passes.lowering.bias import INT32_MAX
from passes.numerics import (
    Histogram,
    QuantParams,
    QuantSpec,
    RangeMethod,
    activation_range,
    params_from_range,
    round_up_to_bfloat16,
    weight_range,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.execution.collect import ActivationStats
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import TensorQuant
    from passes.ir.setup import TensorGroup


@dataclass(frozen=True)
class AssignScales(Pass):
    """Choose ranges for activations from calibration, and for weights from their values.

    Scales of weights are rounded up to bfloat16, so that the packed artifact holds them in two bytes
    without loss. Results of the model keep their full range: clipping the largest logit would cost accuracy.

    Attributes:
        method: range estimator of activations.
        weights: range estimator of weights.
        percentile: share of values inside the range, for ``method=percentile``, in percent.
    """

    name: ClassVar[str] = "assign-scales"
    method: RangeMethod = RangeMethod.MSE
    weights: RangeMethod = RangeMethod.MSE
    percentile: float = 99.99

    @property
    def observes(self) -> frozenset[str]:  # type: ignore[override]
        """Histograms, unless the range is all that is asked for."""
        return frozenset() if self.method is RangeMethod.MINMAX else frozenset({HISTOGRAMS})

    def check(self, model: Model, ctx: PassContext) -> None:
        """The plan must say how many bits each tensor has."""
        if not model.plan.tensors:
            raise PreconditionError("assign-scales: the plan is empty; allocate bits first")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Fill in the parameters of every tensor."""
        setup = quantizer_setup(model.graph, ctx.target.shared_parameter_ops)
        stats = ctx.get(CollectActivations(), model)
        tensors = dict(model.plan.tensors)
        for group in setup.groups:
            params = self.act_params(group, tensors[group.name].spec, stats)
            tensors |= {name: tensors[name].with_params(params) for name in group.members}
        for layer in setup.layers:
            if layer.weight is not None:
                quant = tensors[layer.weight.name]
                tensors[layer.weight.name] = quant.with_params(self._weight_params(layer, quant, tensors))
        model.plan = replace(model.plan, tensors=tensors)
        facts = {"tensors": len(tensors), "method": self.method.value}
        return PassResult(Aspect.PLAN, f"{len(tensors)} tensors have scales", facts)

    def act_params(self, group: TensorGroup, spec: QuantSpec, stats: ActivationStats) -> QuantParams:
        """Return the parameters that the tensors of a group share."""
        low = min(stats.ranges[name][0] for name in group.sources)
        high = max(stats.ranges[name][1] for name in group.sources)
        if self.method is not RangeMethod.MINMAX and not group.is_output:
            merged = merged_histogram([stats.histograms[name] for name in group.sources])
            clipped = activation_range(merged, spec, self.method, self.percentile)
            low, high = max(low, clipped[0]), min(high, clipped[1])
        return params_from_range(low, high, spec)

    def _weight_params(self, layer: Layer, quant: TensorQuant, tensors: dict[str, TensorQuant]) -> QuantParams:
        values = layer.weight_values()
        low, high = weight_range(values, quant.spec, self.weights)
        params = params_from_range(low, high, quant.spec)
        scale = np.where(np.maximum(np.abs(low), np.abs(high)) > 0, params.scale, np.float32(np.inf))
        least = scale.min()
        scale = np.where(np.isinf(scale), least if np.isfinite(least) else np.float32(1), scale)
        scale = np.maximum(scale, self._bias_floor(layer, scale, tensors))
        return QuantParams(round_up_to_bfloat16(scale.astype(np.float32)), params.zero_point)

    def _bias_floor(
        self, layer: Layer, scale: NDArray[np.float32], tensors: dict[str, TensorQuant]
    ) -> NDArray[np.float32]:
        """Return the least scale at which the bias fits half the range of 32 bits."""
        params = tensors[layer.act.name].params
        if layer.bias is None or params is None:
            return np.zeros_like(scale)
        bias = np.abs(np.asarray(layer.bias.values, dtype=np.float64)).reshape(-1)
        per_scale = bias.reshape(-1, scale.size).max(axis=0) if bias.size >= scale.size else bias.max(initial=0.0)
        floor = per_scale / (float(params.scale) * (INT32_MAX / 2))
        return np.broadcast_to(floor, scale.shape).astype(np.float32)


def merged_histogram(histograms: Sequence[Histogram]) -> Histogram:
    """Return the distribution of several tensors together."""
    if len(histograms) == 1:
        return histograms[0]
    merged = Histogram()
    for histogram in histograms:
        merged.merge(histogram)
    return merged
