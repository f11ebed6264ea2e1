"""Scales chosen once for each tensor and width, however many plans ask for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from passes.api import Analysis, Aspect, PassContext
from passes.execution.ranges import act_params, covering_params, weight_scale

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from passes.execution.collect import ActivationStats
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.tensor_groups import TensorGroup
    from passes.numerics import QuantParams, QuantSpec, RangeMethod


@dataclass
class ScaleMemo:
    """Parameters of weights and activations, each computed at its first use.

    One memo is good for one set of weights and one sweep over calibration data.
    """

    _weights: dict[tuple[str, QuantSpec, RangeMethod], NDArray[np.float32]] = field(default_factory=dict)
    _acts: dict[tuple[str, QuantSpec, RangeMethod, float], QuantParams] = field(default_factory=dict)

    def weight(
        self, layer: Layer, spec: QuantSpec, method: RangeMethod, least: NDArray[np.float64] | float = 0.0
    ) -> QuantParams:
        """Return the parameters of a layer's weight; see `passes.execution.ranges.weight_params`."""
        key = (layer.weight.name, spec, method)  # type: ignore[union-attr]
        values = layer.weight_values()
        if key not in self._weights:
            self._weights[key] = weight_scale(values, spec, method)
        return covering_params(self._weights[key], values, spec, least)

    def act(
        self,
        group: TensorGroup,
        spec: QuantSpec,
        stats: ActivationStats,
        method: RangeMethod,
        percentile: float = 99.99,
    ) -> QuantParams:
        """Return the parameters that a group shares; see `passes.execution.ranges.act_params`."""
        key = (group.name, spec, method, percentile)
        if key not in self._acts:
            self._acts[key] = act_params(group, spec, stats, method, percentile)
        return self._acts[key]


@dataclass(frozen=True)
class ScaleMemos(Analysis[ScaleMemo]):
    """Hold one memo for as long as graph and weights stay as they are."""

    name: ClassVar[str] = "scale-memo"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS

    def run(self, model: Model, ctx: PassContext) -> ScaleMemo:
        """Start an empty memo."""
        del model, ctx
        return ScaleMemo()
