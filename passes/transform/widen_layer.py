"""The points of one layer, from the moments of its input, and the weight that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.ir.layers import weight_matrix
from passes.numerics import QuantParams
from passes.numerics.gptq import damped
from passes.numerics.multipoint import FINEST, Pursuit
from passes.numerics.spend import Offer
from passes.transform.assign_scales import bias_floor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.execution.moments import Moments
    from passes.ir.layers import Layer
    from passes.ir.plan import TensorQuant
    from passes.numerics.multipoint import Approximation

    Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WidenTask:
    """One layer to find points for.

    Attributes:
        layer: Conv, Gemm or MatMul with constant weights.
        quant: of its weight, with one scale per channel.
        act: of its input.
        bias_bits: width of a bias on the target.
        price: of a further row.
    """

    layer: Layer
    quant: TensorQuant
    act: TensorQuant
    bias_bits: int
    price: float

    def finest(self) -> NDArray[np.int64]:
        """Return how often the scale of each channel can be halved before its bias no longer fits."""
        scale = self.quant.params.scale.reshape(-1).astype(np.float64)  # type: ignore[union-attr]
        least = bias_floor(self.layer, self.quant, self.act, self.bias_bits)
        room = np.floor(np.log2(scale / np.maximum(least.reshape(-1), 1e-300)))
        return np.clip(room, 0, FINEST).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Widened:
    """Approximations of the weight of a layer by one point per channel, two and so on.

    Attributes:
        task: the layer.
        found: by number of points.
        offer: what they are worth.
        mean: of the input, (groups, depth).
    """

    task: WidenTask
    found: tuple[Approximation, ...]
    offer: Offer
    mean: Matrix

    def weight(self, counts: NDArray[np.int64]) -> TensorQuant:
        """Return the quantization of the weight with so many points for each channel, shape (channels,)."""
        values, axis = self.task.layer.weight_values(), self.task.layer.channel_axis
        rest = np.moveaxis(values, axis, 0).shape[1:]
        codes, scales = [], []
        for channel, count in enumerate(counts):
            chosen = self.found[count - 1]
            codes += [point.reshape(len(counts), -1)[channel] for point in chosen.codes]
            scales += [scale.reshape(-1)[channel] for scale in chosen.scale]
        scale = np.array(scales, dtype=np.float32)
        stored = np.moveaxis(np.stack(codes).reshape(-1, *rest), 0, axis)
        params = QuantParams(scale, np.zeros(scale.shape, np.int32))
        return self.task.quant.with_codes(params, stored, tuple(counts.tolist()))

    def bias(self, counts: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Return the bias that takes up the mean error, shape (channels,); ``None`` for a MatMul."""
        layer = self.task.layer
        if layer.op == "MatMul":
            return None
        exact = weight_matrix(layer, layer.weight_values()).astype(np.float64)
        number = counts.reshape(exact.shape[:2])
        rest = np.zeros(number.shape)
        for points, approximation in enumerate(self.found, 1):
            error = np.einsum("gnd,gd->gn", exact - approximation.values(), self.mean)
            rest = np.where(number == points, error, rest)
        old = 0.0 if layer.bias is None else np.asarray(layer.bias.values, dtype=np.float64)
        return (old + rest.reshape(-1)).astype(np.float32)


def widen_layer(task: WidenTask, moments: Moments, most: int, sweeps: int, damping: float) -> Widened:
    """Find up to so many points for every channel of a layer.

    Args:
        task: the layer.
        moments: of its input.
        most: points of a channel.
        sweeps: as for `Pursuit`.
        damping: share of the diagonal added to the moments, before that which few vectors call for.
    """
    layer, spec = task.layer, task.quant.spec
    own, _, _ = moments.products(centred=layer.op != "MatMul")
    depth = own.shape[1]
    hessian = damped(own, min(damping + depth / (depth + moments.count), 1.0))
    weight = weight_matrix(layer, layer.weight_values()).astype(np.float64)
    shape, fmt = weight.shape[:2], spec.format
    finest = task.finest().reshape(shape)
    pursuit = Pursuit(hessian, fmt.bits, fmt.qmin, fmt.qmax, finest, spec.power_of_two, sweeps)
    first = task.quant.params.scale.astype(np.float32).reshape(shape)  # type: ignore[union-attr]
    found = tuple(pursuit.approximations(weight, first, most))
    loss = np.stack([it.loss.reshape(-1) for it in found])
    offer = Offer(loss, pursuit.energy(weight).reshape(-1), task.price)
    return Widened(task, found, offer, moments.means()[0])
