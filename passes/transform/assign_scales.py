"""Give every tensor of the plan its scale and zero point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError
from passes.execution.collect import HISTOGRAMS, CollectActivations
from passes.execution.scale_memo import ScaleMemo, ScaleMemos
from passes.ir.float_layers import fitted
from passes.ir.setup import quantizer_setup
from passes.numerics import PerChannel, PerGroup, QuantParams, RangeMethod, group_params, multiplier_limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwmodels import Rules
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import TensorQuant

BIAS_BITS = 32
"""Bits of a bias in Q/DQ models and in the artifact."""
NARROW_BITS = 8
EXACT_BITS = 53
"""Bits of the sums that the reference runtime adds exactly."""


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
        if not model.plan.layers and not model.plan.tensors:
            raise PreconditionError("assign-scales: the plan is empty; allocate bits first")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Fill in the parameters of every tensor."""
        setup = fitted(quantizer_setup(model.graph, ctx.target), model.plan)
        stats = ctx.get(CollectActivations(), model)
        memo = ctx.get(ScaleMemos(), model)
        tensors = dict(model.plan.tensors)
        for group in setup.groups:
            spec = tensors[group.name].spec
            params = memo.act(group, spec, stats, self.method, self.percentile)
            tensors |= {name: tensors[name].with_params(params) for name in group.members}
        for layer in setup.stored:
            rules = setup.rules[layer.name]
            act = None if layer in setup.floats else tensors[layer.act.name]
            for part in layer.parts:
                name = part.weight.name  # type: ignore[union-attr]
                if name not in tensors:
                    continue
                params = self._weight_params(part, tensors[name], act, rules, memo)
                tensors[name] = tensors[name].with_params(params)
        model.plan = replace(model.plan, tensors=tensors)
        facts = {"tensors": len(tensors), "method": self.method.value}
        return PassResult(Aspect.PLAN, f"{len(tensors)} tensors have scales", facts)

    def _weight_params(
        self, layer: Layer, quant: TensorQuant, act: TensorQuant | None, rules: Rules, memo: ScaleMemo
    ) -> QuantParams:
        if isinstance(quant.spec.granularity, PerGroup):
            return grouped_params(layer, quant, act, self.weights, rules)
        least = bias_floor(layer, quant, act, rules.bias_bits)
        return memo.weight(layer, quant.spec, self.weights, least)


def bias_floor(
    layer: Layer, quant: TensorQuant, act: TensorQuant | None, bias_bits: int = BIAS_BITS
) -> NDArray[np.float64]:
    """Return the least weight scale at which the bias fits half the range that there is for it.

    Zero beside an activation in floating point (`act` is ``None``), where the bias is no integer.
    """
    granularity = (
        PerChannel(layer.channel_axis)
        if isinstance(quant.spec.granularity, PerGroup)
        else quant.spec.granularity
    )
    shape = granularity.param_shape(layer.weight.shape)  # type: ignore[union-attr]
    if layer.bias is None or act is None or act.params is None:
        return np.zeros(shape)
    bias = np.abs(np.asarray(layer.bias.values, dtype=np.float64)).reshape(-1)
    channels = int(np.prod(shape, dtype=np.int64))
    largest = bias.reshape(-1, channels).max(axis=0) if bias.size % channels == 0 else bias.max(keepdims=True)
    return np.broadcast_to(
        largest / (float(act.params.scale) * 2.0 ** (min(bias_bits, BIAS_BITS) - 2)), shape
    )


def grouped_params(
    layer: Layer, quant: TensorQuant, act: TensorQuant | None, method: RangeMethod, rules: Rules
) -> QuantParams:
    """Return two-level scales for a weight with groups, small enough for the sums of its layer."""
    values, act_bits = layer.weight_values(), NARROW_BITS if act is None else act.spec.format.bits
    wide = act_bits > NARROW_BITS
    sum_bits = min(rules.wide_accumulator_bits if wide else rules.accumulator_bits, EXACT_BITS)
    depth = values.size // values.shape[layer.channel_axis]
    return group_params(
        values,
        quant.spec,
        layer.channel_axis,
        method=method,
        least=bias_floor(layer, quant, act, rules.bias_bits),
        limit=multiplier_limit(depth, quant.spec.format.bits, act_bits, sum_bits),
    )
