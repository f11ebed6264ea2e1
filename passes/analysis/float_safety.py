"""Which layers are unsafe in floating-point formats of few bits: their numbers underflow, or overflow.

The model of underflow is that of adaptive loss scaling (`passes.numerics.float_formats`), asked about
inference: inputs, weights and products of a layer instead of its gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Analysis, Aspect, PassContext
from passes.execution.collect import CollectActivations
from passes.ir.layers import find_layers
from passes.ir.setup import quantizer_setup
from passes.numerics.float_formats import FLOAT_FORMATS, FloatFormat, underflow_share

if TYPE_CHECKING:
    from passes.ir.layers import Layer
    from passes.ir.model import Model

MOST = 1e-2
"""Share of the numbers of a layer that may underflow before it counts as unsafe."""
SPREAD = 4.0
"""Range of normal numbers in standard deviations, where nothing but the range is known."""


@dataclass(frozen=True, slots=True)
class FloatSafety:
    """One layer in one format.

    Attributes:
        layer: unique node name.
        form: name of the format.
        underflow: largest of the shares, 0 to 1, of its inputs, weights and products that become 0.
        headroom: largest number of the format over the largest of all of these; below 1 one overflows.
    """

    layer: str
    form: str
    underflow: float
    headroom: float

    @property
    def safe(self) -> bool:
        """Whether nothing overflows and next to nothing underflows."""
        return self.headroom >= 1 and self.underflow <= MOST

    def to_json(self) -> dict[str, float | str | bool]:
        """Return the figures by name."""
        return {
            "layer": self.layer,
            "format": self.form,
            "underflow": self.underflow,
            "headroom": self.headroom,
            "safe": self.safe,
        }


@dataclass(frozen=True)
class FloatSafetyTable(Analysis["tuple[FloatSafety, ...]"]):
    """Judge every layer in fp16, bf16 and both kinds of fp8, without scales, in graph order."""

    name: ClassVar[str] = "float-safety"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS

    def run(self, model: Model, ctx: PassContext) -> tuple[FloatSafety, ...]:
        """Judge from the ranges of activations.

        Raises:
            UsageError: there are no calibration data.
            ModelError: an activation is NaN or infinite; the message names it.
        """
        ranges = ctx.get(CollectActivations(), model).ranges
        layers = [layer for layer in find_layers(model.graph)[0] if layer.weight is not None]
        sizes = {name: max(abs(low), abs(high)) for name, (low, high) in ranges.items()}
        # What is only moved, as by a pooling, is no larger than where it came from.
        for group in quantizer_setup(model.graph, ctx.target).groups:
            known = [sizes[name] for name in group.sources if name in sizes]
            sizes = dict.fromkeys(group.members if known else (), max(known, default=0.0)) | sizes
        judged = [layer for layer in layers if layer.act.name in sizes]
        return tuple(_judge(layer, sizes, form) for layer in judged for form in FLOAT_FORMATS)


def _judge(layer: Layer, sizes: dict[str, float], form: FloatFormat) -> FloatSafety:
    weight = layer.weight_values().astype(np.float64)
    spread = float(np.sqrt(np.square(weight).mean())) if weight.size else 0.0
    act = sizes[layer.act.name]
    sigmas = (spread, act / SPREAD, spread * act / SPREAD)
    largest = max(act, float(np.abs(weight).max(initial=0)), sizes.get(layer.output.name, 0.0))
    underflow = max(underflow_share(sigma, form) for sigma in sigmas)
    return FloatSafety(layer.name, form.name, underflow, form.largest / largest if largest else float("inf"))
