"""Multipoint quantization: more rows of the same few bits for the output channels that need them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError, UsageError
from passes.execution.layer_moments import layer_moments
from passes.execution.padding import CalibrationSamples
from passes.execution.segments import Segments
from passes.ir.float_layers import fitted
from passes.ir.onnx_io import to_proto
from passes.ir.points import WIDENED
from passes.ir.setup import quantizer_setup
from passes.ir.workload import workload
from passes.numerics import PerChannel
from passes.numerics.spend import spend
from passes.transform.widen_layer import WidenTask, widen_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from passes.ir.setup import QuantizerSetup
    from passes.transform.widen_layer import Widened

MOST_BITS, MOST_POINTS = 6, 4
"""Weights of more bits gain nothing from points, and more points would not fit 16 bits when added up."""
VECTORS_PER_INPUT = 10
"""Least number of vectors for each element of a sum."""


class Price(StrEnum):
    """What a further row costs, and what the budget is a multiple of."""

    MACS = "macs"
    WEIGHTS = "weights"


@dataclass(frozen=True)
class Multipoint(Pass):
    """Write output channels as sums of several rows of low bits, times integer multipliers.

    The method of Liu et al. 2020, Post-training Quantization with Multiple Points (arXiv 2002.09049): a
    machine of one width runs a layer with more rows, and what rows of a channel give is added up. The error
    of a channel is measured on calibration data, by second moments of the inputs. Beyond the paper, points
    share a scale for each channel, so that integers add them up; the budget is spent over all layers where
    the noise falls most for it; and the last point of a channel is rounded by the moments, too.

    Layers in which no channel gets a second point are left as they are. Those that are widened have the mean
    of their error taken out of their bias. A ``gptq`` behind rounds the last point of every channel anew,
    behind the quantized layers before; what points are worth is measured with the rounding of this pass.

    Attributes:
        threshold: relative error, in root mean squares, at which a channel has enough points.
        growth: products, or weights, of all layers with few enough bits may become so many times as many.
        price: which of the two.
        max_points: of a channel.
        max_bits: layers of wider weights are left alone.
        sweeps: passes of coordinate descent over the last point of a channel, after GPTQ; 0 rounds to the
            nearest, as the paper does.
        damping: share of the diagonal that is added to the moments.
        vectors: input vectors per layer, drawn evenly from all samples; more where a sum is long.
    """

    name: ClassVar[str] = "multipoint"
    threshold: float = 0.0
    growth: float = 1.25
    price: Price = Price.MACS
    max_points: int = 3
    max_bits: int = 4
    sweeps: int = 4
    damping: float = 0.01
    vectors: int = 4096

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            UsageError: an option is out of its range.
        """
        for name, least, most in (
            ("threshold", 0.0, math.inf),
            ("growth", 1.0, math.inf),
            ("max_points", 1, MOST_POINTS),
            ("max_bits", 1, MOST_BITS),
            ("damping", 0.0, 1.0),
        ):
            if not least <= getattr(self, name) <= most:
                key = name.replace("_", "-")
                raise UsageError(
                    f"multipoint: {key} must lie in {least}..{most}, found {getattr(self, name)}"
                )

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned."""
        if any(quant.params is None for quant in model.plan.tensors.values()):
            raise PreconditionError("multipoint: run assign-scales first")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Find points for every layer of few enough bits, and spend the budget on the best.

        Raises:
            UsageError: there are no calibration data.
            ModelError: the input of a layer is NaN or infinite, or its shape is unknown; the message names
                the layer.
        """
        setup = fitted(quantizer_setup(model.graph, ctx.target), model.plan)
        layers = [layer for layer in setup.layers if self._wanted(layer, model, setup)]
        if not layers:
            return PassResult(Aspect.NONE, "no layer can have points", {"layers": 0})
        if ctx.calibration is None:
            raise UsageError("multipoint needs calibration data; give --calib")
        widened = self._widened(model, setup, layers, ctx)
        whole = math.fsum(it.offer.price * it.offer.energy.size for it in widened)
        counts = spend([it.offer for it in widened], self.threshold, whole * (self.growth - 1))
        pairs = list(zip(widened, counts, strict=True))
        model.plan = _with_points(model.plan, pairs)
        added = [int((count - 1).sum()) for count in counts]
        growth = 1 + math.fsum(it.offer.price * rows for it, rows in zip(widened, added, strict=True)) / whole
        facts = {"layers": sum(map(bool, added)), "rows": sum(added), "growth": growth}
        summary = f"{facts['rows']} rows added to {facts['layers']} of {len(layers)} layers: "
        return PassResult(Aspect.PLAN, f"{summary}{growth:.3f} times the {self.price}", facts)

    def _wanted(self, layer: Layer, model: Model, setup: QuantizerSetup) -> bool:
        """Return whether a layer can have points: few bits, a scale for each channel, a weight of its own."""
        if layer.op not in WIDENED or layer.weight is None:
            return False
        readers = Counter(it.weight.name for it in setup.layers if it.weight is not None)
        quant = model.plan.tensors[layer.weight.name]
        return (
            quant.points is None
            and quant.spec.format.bits <= self.max_bits
            and quant.spec.format.signed
            and quant.spec.symmetric
            and isinstance(quant.spec.granularity, PerChannel)
            and readers[layer.weight.name] == 1
        )

    def _widened(
        self, model: Model, setup: QuantizerSetup, layers: list[Layer], ctx: PassContext
    ) -> list[Widened]:
        """Return every layer with its points, in the order given."""
        segments = Segments(to_proto(model), frozenset(layer.name for layer in layers), ctx.workers)
        asked = [(layer, self._count(layer)) for layer in layers]
        data = ctx.get(CalibrationSamples(), model)
        found: dict[str, Widened] = {}
        try:
            for layer, moments in layer_moments(segments, asked, data, ctx.rng(self.name)):
                if moments.count < _depth(layer):
                    message = f"{moments.count} vectors for {_depth(layer)} inputs; give more samples"
                    ctx.note(self.name, layer.name, message)
                task = self._task(layer, model, setup)
                found[layer.name] = widen_layer(task, moments, self.max_points, self.sweeps, self.damping)
                ctx.progress("points", len(found), len(layers))
        finally:
            segments.store.clear()
        return [found[layer.name] for layer in layers]

    def _task(self, layer: Layer, model: Model, setup: QuantizerSetup) -> WidenTask:
        tensors = model.plan.tensors
        price = _depth(layer) * (workload(layer).rows if self.price is Price.MACS else 1)
        quant = tensors[layer.weight.name]  # type: ignore[union-attr]
        bits = setup.rules[layer.name].bias_bits
        return WidenTask(layer, quant, tensors[layer.act.name], bits, float(price))

    def _count(self, layer: Layer) -> int:
        return max(self.vectors, VECTORS_PER_INPUT * _depth(layer))


def _with_points(plan: QuantPlan, found: Sequence[tuple[Widened, NDArray[np.int64]]]) -> QuantPlan:
    """Return the plan with the layers in which some channel has more than one point."""
    tensors, biases = dict(plan.tensors), dict(plan.biases)
    for widened, counts in found:
        layer = widened.task.layer
        if counts.max() > 1:
            tensors[layer.weight.name] = widened.weight(counts)  # type: ignore[union-attr]
            bias = widened.bias(counts)
            biases |= {} if bias is None else {layer.name: tuple(bias.tolist())}
    return replace(plan, tensors=tensors, biases=biases)


def _depth(layer: Layer) -> int:
    """Return the weights of one output channel."""
    values = layer.weight_values()
    return int(values.size // values.shape[layer.channel_axis])
