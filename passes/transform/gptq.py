"""GPTQ: choose the integers of weights so that layers compute the least wrong results on calibration data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import ModelError, PreconditionError, UsageError
from passes.execution.columns import choose_positions, columns
from passes.execution.moments import Moments
from passes.execution.padding import CalibrationSamples
from passes.execution.segments import Segments
from passes.execution.token_weights import normalized_sums, token_weights
from passes.ir.layers import weight_matrix
from passes.ir.onnx_io import to_proto
from passes.ir.plan import Role
from passes.ir.setup import quantizer_setup
from passes.ir.weights import rounded_weight
from passes.lowering.qdq import emit_activations
from passes.transform.assign_scales import bias_floor
from passes.transform.round_layer import RoundingOptions, RoundingTask, round_layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import TensorQuant
    from passes.ir.setup import QuantizerSetup

BATCH = 10
VECTORS_PER_INPUT = 40
"""Least number of vectors for each element of a sum."""
ROUNDED = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Gptq(Pass):
    """Round weights by second moments of the layers' inputs, as they are behind the layers rounded before.

    GPTQ [Frantar et al. 2022, arXiv 2210.17323, algorithm 1], preceded by a choice among scales and followed
    by coordinate descent. With `asymmetric`, the result aimed at is that of the float network on float inputs
    [Li et al. 2025, GPTAQ, arXiv 2504.02692], so that layers make up for the error of those before them. The
    bias takes up the rest of the mean error.

    Attributes:
        max_bits: layers of wider weights keep the nearest integers.
        damping: share of the diagonal matrix in the second moments, on top of ``depth / (depth + vectors)``,
            which keeps moments of few vectors from being believed.
        act_order: round columns in the order of their second moments.
        sweeps: passes of coordinate descent.
        asymmetric: how far to aim at the float network's result: 0 for the layer's own, 1 for all the way.
            Half was best on calibration images held out from MobileNetV2: large shifts use up the few codes.
        scales: short scales to try around the best one of plain rounding.
        vectors: input vectors per layer, drawn evenly from all samples; more where a sum is long.
        by_sums: let rows of an input count in inverse proportion to the sums that a normalization makes of
            the layer's results.
    """

    name: ClassVar[str] = "gptq"
    max_bits: int = 7
    damping: float = 0.01
    act_order: bool = True
    sweeps: int = 4
    asymmetric: float = 0.5
    scales: int = 3
    vectors: int = 4096
    by_sums: bool = True

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned."""
        if any(quant.params is None for quant in model.plan.tensors.values()):
            raise PreconditionError("gptq: run assign-scales first")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Round every layer of few enough bits, in graph order.

        Raises:
            UsageError: there are no calibration data.
            ModelError: the input of a layer is NaN or infinite; the message names the layer.
        """
        setup = quantizer_setup(model.graph, ctx.target)
        layers = [layer for layer in setup.layers if self._wanted(layer, model)]
        if not layers:
            return PassResult(Aspect.NONE, "no layer has few enough bits", {"layers": 0})
        if ctx.calibration is None:
            raise UsageError("gptq needs calibration data; give --calib")
        sweep = _Sweep(self, model, setup, layers, ctx)
        try:
            sweep.run()
        finally:
            sweep.close()
        model.plan = replace(model.plan, tensors=sweep.tensors, biases=sweep.biases)
        return PassResult(Aspect.PLAN, f"{len(layers)} layers rounded", {"layers": len(layers)})

    def _wanted(self, layer: Layer, model: Model) -> bool:
        quant = model.plan.tensors.get(layer.weight.name) if layer.weight is not None else None
        return layer.op in ROUNDED and quant is not None and quant.spec.format.bits <= self.max_bits

    def options(self) -> RoundingOptions:
        """Return what concerns the rounding of one layer."""
        return RoundingOptions(self.damping, self.act_order, self.sweeps, self.asymmetric, self.scales)


class _Sweep:
    """State of one run: the float and the quantized network, side by side."""

    def __init__(
        self, step: Gptq, model: Model, setup: QuantizerSetup, layers: list[Layer], ctx: PassContext
    ) -> None:
        self._step, self._ctx, self._setup = step, ctx, setup
        self._layers = {layer.name: layer for layer in layers}
        self.tensors, self.biases = dict(model.plan.tensors), dict(model.plan.biases)
        chosen = frozenset(self._layers)
        acts = {name: quant for name, quant in self.tensors.items() if quant.role is Role.ACT}
        proto = to_proto(model)
        self._float = Segments(proto, chosen, ctx.workers)
        self._quantized = Segments(emit_activations(proto, acts), chosen, ctx.workers)
        self._rng = ctx.rng(step.name)
        self._data = ctx.get(CalibrationSamples(), model)
        sums = normalized_sums(model.graph, layers) if step.by_sums else {}
        self._weights = token_weights(model, sums, self._data, BATCH, ctx.workers)
        self._samples = 0

    def run(self) -> None:
        """Round layer by layer, by depth."""
        last = max(self._float.depths.values())
        values, biases = self._replacements(0)
        self._samples = self._quantized.start(self._data, BATCH, values, biases)
        self._float.start(self._data, BATCH)
        for depth in range(1, last + 1):
            for name in [name for name, found in self._float.depths.items() if found == depth]:
                self._round(self._layers[name])
            if depth < last:
                self._float.advance(depth, {}, {})
                self._quantized.advance(depth, *self._replacements(depth))
            self._ctx.progress("round", depth, last)

    def close(self) -> None:
        """Forget the activations, those on disk too."""
        self._float.store.clear()
        self._quantized.store.clear()

    def _round(self, layer: Layer) -> None:
        quant = self.tensors[layer.weight.name]  # type: ignore[union-attr]
        moments = self._moments(layer)
        depth = weight_matrix(layer, layer.weight_values()).shape[2]
        if moments.count < depth:
            message = f"{moments.count} vectors for {depth} inputs; give more calibration samples"
            self._ctx.note(self._step.name, layer.name, message)
        bits = self._setup.rules[layer.name].bias_bits
        least = bias_floor(layer, quant, self.tensors[layer.act.name], bits)
        task = RoundingTask(layer, quant, least, moments)
        rounded, bias = round_layer(task, self._step.options())
        self.tensors[layer.weight.name] = rounded  # type: ignore[union-attr]
        if bias is not None:
            self.biases[layer.name] = tuple(bias.tolist())

    def _moments(self, layer: Layer) -> Moments:
        moments = Moments()
        quant, depth = self.tensors.get(layer.act.name), weight_matrix(layer, layer.weight_values()).shape[2]
        count = -(-max(self._step.vectors, VECTORS_PER_INPUT * depth) // self._samples)
        seen, reference = (
            run.store.compact(run.operand(layer.name)) for run in (self._quantized, self._float)
        )
        weights = self._weights.get(layer.name)
        for index, (first, second) in enumerate(zip(seen, reference, strict=True)):
            at = choose_positions(layer, first.shape, count, self._rng)
            x, y = _values(layer, first, at, quant), columns(layer, second, at).astype(np.float32)
            moments.update(x, np.ascontiguousarray(y), None if weights is None else weights[index][at[0]])
        if not moments.finite():
            raise ModelError(f"layer {layer.name}: its input is NaN or infinite on the calibration data")
        return moments

    def _replacements(self, depth: int) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
        """Return rounded weights and biases of the layers in one piece."""
        values: dict[str, NDArray[np.float32]] = {}
        added: dict[str, str] = {}
        for layer in self._setup.layers:
            if layer.weight is None or self._quantized.piece_of(layer.name) != depth:
                continue
            values[layer.weight.name] = rounded_weight(layer, self.tensors[layer.weight.name])
            if layer.name in self.biases:
                name = f"{layer.name}.bias" if layer.bias is None else layer.bias.name
                values[name] = np.asarray(self.biases[layer.name], dtype=np.float32)
                added |= {layer.name: name} if layer.bias is None else {}
        return values, added


def _values(
    layer: Layer, batch: NDArray[Any], positions: NDArray[np.intp], quant: TensorQuant | None
) -> NDArray[np.float32]:
    """Return what a layer multiplies as numbers, from numbers or from codes."""
    if quant is None or quant.params is None or batch.dtype.kind == "f":
        return np.ascontiguousarray(columns(layer, batch, positions), dtype=np.float32)
    zero = int(quant.params.zero_point)
    codes = columns(layer, batch, positions, zero)
    steps = np.subtract(codes, zero, dtype=np.float32, casting="unsafe")
    return np.ascontiguousarray(steps * np.float32(quant.params.scale))
