"""Give every tensor of the plan its scale and zero point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError
from passes.execution.collect import HISTOGRAMS, PATCHES, CollectActivations
from passes.execution.layer_patches import observe_patches
from passes.execution.ranges import covering_params
from passes.execution.scale_memo import ScaleMemo, ScaleMemos
from passes.ir.float_layers import fitted
from passes.ir.layers import matrix_weight, weight_matrix
from passes.ir.setup import quantizer_setup
from passes.numerics import (
    PerChannel,
    PerGroup,
    QuantParams,
    RangeMethod,
    best_short_scale,
    group_params,
    multiplier_limit,
)
from passes.transform.clip_search import Clip, ClipSearch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hwmodels import Rules
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import TensorQuant
    from passes.ir.setup import QuantizerSetup

BIAS_BITS = 32
"""Bits of a bias in Q/DQ models and in the artifact."""
NARROW_BITS = 8
EXACT_BITS = 53
"""Bits of the sums that the reference runtime adds exactly."""


@dataclass(frozen=True)
class AssignScales(Pass):
    """Choose ranges for activations from calibration, and for weights from their values.

    All scales are short (`passes.numerics.short_scale`), so that the simulation in float32 and the packed
    integers agree to the last bit. Weights with tables keep scales and codes, which were chosen with them.

    Attributes:
        method: range estimator of activations.
        weights: range estimator of weights.
        percentile: share of values inside the range, for ``method=percentile``, in percent.
        weighted: weigh the error of each element of a weight by the second moment of what it multiplies, for
            ``weights=mse``.
        clip: whose scales are then searched by the output error of layers (`passes.transform.clip_search`):
            ``acts`` with float weights, ``weights`` with float activations, ``both`` in turns, as rounded;
            ``auto`` searches both where both estimators are ``mse``.
        clip_bits: of activations. Layers that read wider ones are not searched; from five bits on results
            are as good without (docs/ranges.md).
        rounds: of that search.
    """

    name: ClassVar[str] = "assign-scales"
    method: RangeMethod = RangeMethod.MSE
    weights: RangeMethod = RangeMethod.MSE
    percentile: float = 99.99
    weighted: bool = False
    clip: Clip = Clip.AUTO
    clip_bits: int = 4
    rounds: int = 2

    @property
    def observes(self) -> frozenset[str]:  # type: ignore[override]
        """Histograms, unless the range is all that is asked for; inputs of layers for moments."""
        histograms = frozenset() if self.method is RangeMethod.MINMAX else frozenset({HISTOGRAMS})
        return histograms | {PATCHES} if self.weighted else histograms

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
                if name not in tensors or tensors[name].levels is not None:
                    continue
                moments = second_moments(part, stats.patches) if self.weighted else None
                params = self._weight_params(part, tensors[name], act, rules, memo, moments)
                tensors[name] = tensors[name].with_params(params)
        searched = [layer for layer in setup.layers if self._searches(layer, tensors)]
        if searched:
            patches = observe_patches(model, ctx, searched)
            search = ClipSearch(model.graph, setup, tensors, patches, partial(_least_scale, setup))
            search.search(self._clip, self.rounds)
            tensors = search.tensors | self._held(setup, search.tensors)
        model.plan = replace(model.plan, tensors=tensors)
        facts = {"tensors": len(tensors), "method": self.method.value}
        return PassResult(Aspect.PLAN, f"{len(tensors)} tensors have scales", facts)

    def _searches(self, layer: Layer, tensors: Mapping[str, TensorQuant]) -> bool:
        usual = layer.weight is not None and not layer.recurrent and layer.op != "ConvTranspose"
        narrow = usual and tensors[layer.act.name].spec.format.bits <= self.clip_bits
        return narrow and self._clip is not Clip.NONE

    @property
    def _clip(self) -> Clip:
        if self.clip is not Clip.AUTO:
            return self.clip
        return Clip.BOTH if self.method is self.weights is RangeMethod.MSE else Clip.NONE

    def _held(self, setup: QuantizerSetup, tensors: Mapping[str, TensorQuant]) -> dict[str, TensorQuant]:
        """Return the weights, with scales at which biases fit: those of activations may have shrunk."""
        held = {}
        for layer in setup.layers:
            act, rules = tensors[layer.act.name], setup.rules[layer.name]
            for part in layer.parts:
                quant = tensors[part.weight.name]  # type: ignore[union-attr]
                if quant.levels is not None:
                    continue
                if isinstance(quant.spec.granularity, PerGroup):
                    params = grouped_params(part, quant, act, self.weights, rules)
                else:
                    least = bias_floor(part, quant, act, rules.bias_bits)
                    scale = np.asarray(quant.params.scale)  # type: ignore[union-attr]
                    params = covering_params(scale, part.weight_values(), quant.spec, least)
                held[part.weight.name] = quant.with_params(params)  # type: ignore[union-attr]
        return held

    def _weight_params(
        self,
        layer: Layer,
        quant: TensorQuant,
        act: TensorQuant | None,
        rules: Rules,
        memo: ScaleMemo,
        moments: NDArray[np.float32] | None,
    ) -> QuantParams:
        if isinstance(quant.spec.granularity, PerGroup):
            return grouped_params(layer, quant, act, self.weights, rules)
        least = bias_floor(layer, quant, act, rules.bias_bits)
        if moments is not None and self.weights is RangeMethod.MSE:
            values = layer.weight_values()
            return covering_params(best_short_scale(values, quant.spec, moments), values, quant.spec, least)
        return memo.weight(layer, quant.spec, self.weights, least)


def _least_scale(
    setup: QuantizerSetup, layer: Layer, quant: TensorQuant, act: TensorQuant
) -> NDArray[np.float64]:
    return bias_floor(layer, quant, act, setup.rules[layer.name].bias_bits)


def second_moments(layer: Layer, patches: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """Return the second moment of what each element of a weight multiplies, in the shape of the weight.

    Args:
        layer: with constant weights.
        patches: inputs of layers, by layer name, (samples, positions, groups, depth).

    Returns:
        ``None`` where the weight is not one matrix over the patches: of ConvTranspose and recurrent layers.
    """
    found = patches.get(layer.name)
    if found is None or layer.op == "ConvTranspose":
        return None
    moments = np.square(found, dtype=np.float64).mean(axis=(0, 1))
    shape = weight_matrix(layer, layer.weight_values()).shape
    return matrix_weight(layer, np.broadcast_to(moments[:, None], shape).astype(np.float32))


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
    floor = largest / (float(act.params.scale) * 2.0 ** (min(bias_bits, BIAS_BITS) - 2))
    return np.broadcast_to(floor if shape else floor[0], shape)


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
