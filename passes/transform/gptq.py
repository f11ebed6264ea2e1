"""GPTQ: choose the integers of weights so that layers compute the least wrong results on calibration data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError, UsageError
from passes.execution.collect import MEANS
from passes.execution.padding import CalibrationSamples
from passes.execution.paired import PairedMoments
from passes.execution.segments import Segments
from passes.execution.states import States
from passes.execution.stuffed import implicit_padding
from passes.execution.token_weights import normalized_sums, token_weights
from passes.ir.float_layers import fitted
from passes.ir.onnx_io import to_proto
from passes.ir.plan import Role
from passes.ir.setup import quantizer_setup
from passes.ir.weights import rounded_weight
from passes.lowering.qdq import emit_activations
from passes.lowering.recurrent import state_bits
from passes.rounding.round_layer import RoundingOptions, RoundingTask, round_layer
from passes.transform.assign_scales import bias_floor
from passes.transform.bias_correction import corrected_biases

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.execution.moments import Moments
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup

BATCH = 10
BYTE = 8
STATE_ROUNDS = 2
"""How often the weight of a state is rounded: the states are those that the last rounding gives."""


@dataclass(frozen=True)
class Gptq(Pass):
    """Round weights by second moments of the layers' inputs, as they are behind the layers rounded before.

    GPTQ [Frantar et al. 2022, arXiv 2210.17323, algorithm 1], preceded by a choice among scales and followed
    by coordinate descent. With `asymmetric`, the result aimed at is that of the float network on float inputs
    [Li et al. 2025, GPTAQ, arXiv 2504.02692], so that layers make up for the error of those before them. The
    bias takes up the rest of the mean error.

    Of an LSTM, GRU or RNN both weights are rounded, that of the state by the states that the cell computes
    with the rounded weights. A ConvTranspose is a convolution over its input with zeros between the elements.

    Attributes:
        max_bits: layers of wider weights keep the nearest integers, but for those that can mend.
        mend_bits: weights of up to this many bits are rounded as well in layers that read fewer than eight
            bits, or that come after any layer rounded: their fine steps make up for the errors of those.
        damping: share of the diagonal matrix in the second moments, on top of ``depth / (depth + vectors)``,
            which keeps moments of few vectors from being believed.
        act_order: round columns in the order of their second moments.
        sweeps: passes of coordinate descent.
        asymmetric: how far to aim at the float network's result: 0 for the layer's own, 1 for all the way.
            Half was best on calibration images held out from MobileNetV2: large shifts use up the few codes.
        deviation: how far to give results the standard deviation that they have in the float network: 0 not
            at all, 1 all the way, as where BatchNormalization takes its statistics again [Hubara et al.
            2020, arXiv 2006.10518, BatchNorm tuning].
        scales: short scales to try around the best one of plain rounding.
        vectors: input vectors per layer, drawn evenly from all samples; more where a sum is long.
        by_sums: let rows of an input count in inverse proportion to the sums that a normalization makes of
            the layer's results.
    """

    name: ClassVar[str] = "gptq"
    refines: ClassVar[bool] = True
    observes: ClassVar[frozenset[str]] = frozenset({MEANS})
    max_bits: int = 7
    mend_bits: int = 8
    damping: float = 0.01
    act_order: bool = True
    sweeps: int = 4
    asymmetric: float = 0.5
    deviation: float = 0.7
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
        setup = fitted(quantizer_setup(model.graph, ctx.target), model.plan)
        layers = self._chosen(setup, model, ctx)
        if not layers:
            return PassResult(Aspect.NONE, "no layer has few enough bits", {"layers": 0})
        if ctx.calibration is None:
            raise UsageError("gptq needs calibration data; give --calib")
        # Left as they are, mean errors of layers that are not rounded would be made up for by those that are,
        # and then once more by a bias-correction behind.
        chosen = {layer.name for layer in layers}
        others = [layer for layer in setup.layers if layer.name not in chosen]
        biases, _ = corrected_biases(others, model, ctx, BYTE)
        model.plan = replace(model.plan, biases={**model.plan.biases, **biases})
        sweep = _Sweep(self, model, setup, layers, ctx)
        try:
            sweep.run()
        finally:
            sweep.close()
        model.plan = replace(model.plan, tensors=sweep.tensors, biases=sweep.biases)
        return PassResult(Aspect.PLAN, f"{len(layers)} layers rounded", {"layers": len(layers)})

    def _chosen(self, setup: QuantizerSetup, model: Model, ctx: PassContext) -> list[Layer]:
        """Return the layers to round, in graph order."""
        place = {node.name: index for index, node in enumerate(model.graph.nodes)}
        chosen: list[Layer] = []
        for layer in sorted(setup.stored, key=lambda layer: place[layer.name]):
            mends = bool(chosen) or _reads_few(layer, model)
            limit = max(self.max_bits, self.mend_bits) if mends else self.max_bits
            quant = model.plan.tensors.get(layer.weight.name) if layer.weight is not None else None
            if quant is None or quant.stored_bits > limit:
                continue
            if implicit_padding(layer):
                message = "auto_pad or output_shape: its weights keep the nearest integers"
                ctx.note(self.name, layer.name, message)
            else:
                chosen.append(layer)
        return chosen

    def options(self) -> RoundingOptions:
        """Return what concerns the rounding of one layer."""
        return RoundingOptions(
            self.damping, self.act_order, self.sweeps, self.asymmetric, self.deviation, self.scales
        )


class _Sweep:
    """State of one run: the float and the quantized network, side by side."""

    def __init__(
        self, step: Gptq, model: Model, setup: QuantizerSetup, layers: list[Layer], ctx: PassContext
    ) -> None:
        self._step, self._ctx, self._setup = step, ctx, setup
        self._layers = {layer.name: layer for layer in layers}
        self._model = model
        self.tensors, self.biases = dict(model.plan.tensors), dict(model.plan.biases)
        chosen = frozenset(self._layers)
        acts = {name: quant for name, quant in self.tensors.items() if quant.role is Role.ACT}
        proto, floats = to_proto(model), [layer.name for layer in setup.floats]
        self._float = Segments(proto, chosen, ctx.workers)
        self._quantized = Segments(emit_activations(proto, acts, floats), chosen, ctx.workers)
        self._sums = normalized_sums(model.graph, layers) if step.by_sums else {}

    def run(self) -> None:
        """Round layer by layer, by depth."""
        last = max(self._float.depths.values())
        values, biases = self._replacements(0)
        data = self._ctx.get(CalibrationSamples(), self._model)
        samples = self._quantized.start(data, BATCH, values, biases)
        self._float.start(data, BATCH)
        weights = token_weights(self._model, self._sums, data, BATCH, self._ctx)
        vectors, rng = self._step.vectors, self._ctx.rng(self._step.name)
        self._paired = PairedMoments(self._quantized, self._float, vectors, samples, rng, weights)
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
        act = self.tensors.get(layer.act.name)
        self._round_part(layer.parts[0], self._paired.inputs(layer, act))
        if layer.recurrent:
            self._round_hidden(layer, layer.parts[1])

    def _round_hidden(self, layer: Layer, part: Layer) -> None:
        """Round the weight of a state, which depends on that weight: as it is, then as it has become."""
        cell, act = States(layer, self._ctx.workers), self.tensors[layer.act.name]
        levels = (1 << state_bits(layer, self._model.plan) - 1) - 1
        hidden = part.weight_values()
        for _ in range(STATE_ROUNDS):
            pair = self._rounded(layer.parts[0]), hidden
            self._round_part(part, self._paired.states(layer, act, cell, pair, levels))
            hidden = self._rounded(part)

    def _round_part(self, layer: Layer, moments: Moments) -> None:
        quant, depth = self.tensors[layer.weight_name], len(moments.means()[0][0])
        if moments.count < depth:
            message = f"{moments.count} vectors for {depth} inputs; give more calibration samples"
            self._ctx.note(self._step.name, layer.name, message)
        bits = self._setup.rules[layer.name].bias_bits
        act = None if layer in self._setup.floats else self.tensors[layer.act.name]
        least = bias_floor(layer, quant, act, bits)
        task = RoundingTask(layer, quant, least, moments)
        rounded, bias = round_layer(task, self._step.options())
        self.tensors[layer.weight_name] = rounded
        self.biases |= {} if bias is None else {layer.name: tuple(bias.tolist())}

    def _rounded(self, part: Layer) -> NDArray[np.float32]:
        return rounded_weight(part, self.tensors[part.weight_name])

    def _replacements(self, depth: int) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
        """Return rounded weights and biases of the layers in one piece."""
        values: dict[str, NDArray[np.float32]] = {}
        added: dict[str, str] = {}
        for layer in self._setup.stored:
            if self._quantized.piece_of(layer.name) != depth:
                continue
            quantized = [part for part in layer.parts if part.weight_name in self.tensors]
            values |= {part.weight_name: self._rounded(part) for part in quantized}
            if layer.name in self.biases:
                name = f"{layer.name}.bias" if layer.bias is None else layer.bias.name
                values[name] = np.asarray(self.biases[layer.name], dtype=np.float32)
                added |= {layer.name: name} if layer.bias is None else {}
        return values, added


def _reads_few(layer: Layer, model: Model) -> bool:
    quant = model.plan.tensors.get(layer.act.name)
    return quant is not None and quant.spec.format.bits < BYTE
