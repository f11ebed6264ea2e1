"""Give every tensor of the plan its scale and zero point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError
from passes.execution.collect import HISTOGRAMS, CollectActivations
from passes.execution.ranges import act_params, weight_params
from passes.ir.setup import quantizer_setup
from passes.numerics import QuantParams, RangeMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import TensorQuant

BIAS_BITS = 32
"""Bits of a bias in Q/DQ models and in the artifact."""


@dataclass(frozen=True)
class AssignScales(Pass):
    """Choose ranges for activations from calibration, and for weights from their values.

    All scales are short (`passes.numerics.short_scale`), so that the simulation in float32 and the packed
    integers agree to the last bit.

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
        setup = quantizer_setup(model.graph, ctx.target)
        stats = ctx.get(CollectActivations(), model)
        tensors = dict(model.plan.tensors)
        for group in setup.groups:
            params = act_params(group, tensors[group.name].spec, stats, self.method, self.percentile)
            tensors |= {name: tensors[name].with_params(params) for name in group.members}
        for layer in setup.layers:
            if layer.weight is not None:
                quant = tensors[layer.weight.name]
                tensors[layer.weight.name] = quant.with_params(
                    self._weight_params(
                        layer, quant, tensors[layer.act.name], setup.rules[layer.name].bias_bits
                    )
                )
        model.plan = replace(model.plan, tensors=tensors)
        facts = {"tensors": len(tensors), "method": self.method.value}
        return PassResult(Aspect.PLAN, f"{len(tensors)} tensors have scales", facts)

    def _weight_params(
        self, layer: Layer, quant: TensorQuant, act: TensorQuant, bias_bits: int
    ) -> QuantParams:
        least = bias_floor(layer, quant, act, bias_bits)
        return weight_params(layer.weight_values(), quant.spec, self.weights, least=least)


def bias_floor(
    layer: Layer, quant: TensorQuant, act: TensorQuant, bias_bits: int = BIAS_BITS
) -> NDArray[np.float64]:
    """Return the least weight scale at which the bias fits half the range that there is for it."""
    shape = quant.spec.granularity.param_shape(layer.weight.shape)  # type: ignore[union-attr]
    if layer.bias is None or act.params is None:
        return np.zeros(shape)
    bias = np.abs(np.asarray(layer.bias.values, dtype=np.float64)).reshape(-1)
    channels = int(np.prod(shape, dtype=np.int64))
    largest = bias.reshape(-1, channels).max(axis=0) if bias.size % channels == 0 else bias.max(keepdims=True)
    return np.broadcast_to(
        largest / (float(act.params.scale) * 2.0 ** (min(bias_bits, BIAS_BITS) - 2)), shape
    )
