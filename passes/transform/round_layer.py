"""Scale, integers and bias of one layer from the moments of its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.ir.layers import weight_matrix
from passes.numerics import QuantParams, short_scale
from passes.numerics.scales import shorter_scale
from passes.numerics.gptq import Grid, Rounder, damped, descend, loss
from passes.transform.assign_scales import bias_floor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.execution.moments import Moments
    from passes.ir.layers import Layer
    from passes.ir.plan import TensorQuant

    Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RoundingOptions:
    """What `passes.transform.gptq.Gptq` says of its fields of the same names."""

    damping: float
    act_order: bool
    sweeps: int
    asymmetric: float
    scales: int


@dataclass(frozen=True, slots=True)
class Rounded:
    """The result for one layer: its weight, and its bias where it has a place for one."""

    quant: TensorQuant
    bias: tuple[float, ...] | None


def round_layer(
    layer: Layer,
    quant: TensorQuant,
    act: TensorQuant,
    bias_bits: int,
    bias: NDArray[np.float64] | None,
    moments: Moments,
    options: RoundingOptions,
) -> Rounded:
    """Round one layer.

    Args:
        layer: Conv, Gemm or MatMul with constant weights.
        quant: specification and parameters of its weight.
        act: of its input.
        bias_bits: what the target has for the bias.
        bias: float values, shape (channels,), or ``None``.
        moments: of its input.
        options: how.
    """
    has_bias = layer.op != "MatMul"
    hessian, cross = moments.products(centred=has_bias)
    depth = hessian.shape[1]
    hessian = damped(hessian, min(options.damping + depth / (depth + moments.count), 1.0))
    weight = weight_matrix(layer, layer.weight_values()).astype(np.float64)
    target = weight
    if options.asymmetric:
        own, _ = moments.products(centred=has_bias)
        shift = np.linalg.solve(hessian, (cross - own) @ weight.transpose(0, 2, 1))
        target = weight + options.asymmetric * shift.transpose(0, 2, 1)
    least = bias_floor(layer, quant, act, bias_bits)
    params, codes, values = _best(layer, quant, target, hessian, least, options)
    rounded = quant.with_codes(params, _from_matrix(layer, codes).astype(quant.spec.format.dtype))
    if not has_bias:
        return Rounded(rounded, None)
    x, y = moments.means()
    rest = np.einsum("gnd,gd->gn", weight, y) - np.einsum("gnd,gd->gn", values, x)
    old = 0.0 if bias is None else bias
    return Rounded(rounded, tuple((old + rest.reshape(-1)).astype(np.float32).tolist()))


def _best(
    layer: Layer,
    quant: TensorQuant,
    target: Matrix,
    hessian: Matrix,
    least: NDArray[np.float64],
    options: RoundingOptions,
) -> tuple[QuantParams, Matrix, Matrix]:
    """Try several scales, keep the best of each row, and refine: parameters, codes and values."""
    spec, groups, fmt = quant.spec, target.shape[0], quant.spec.format
    start = quant.params.scale  # type: ignore[union-attr]
    tried = [
        np.maximum(_moved(start, step, spec.scale_places), short_scale(least.astype(np.float32) + 1e-30, up=True))
        for step in range(-options.scales // 2 + 1, options.scales // 2 + 1)
    ]
    losses, codes, rounder = [], [], Rounder(hessian, act_order=options.act_order)
    for scale in tried:
        grid = Grid(_rows(layer, scale, spec, target), fmt.qmin, fmt.qmax)
        found = rounder.codes(target, grid)
        codes.append(found)
        row = loss(target, hessian, grid, found)
        losses.append(row if scale.size > 1 else np.full_like(row, row.sum()))
    best = np.argmin(losses, axis=0)
    chosen = np.take_along_axis(np.stack(codes), best[None, :, :, None], 0)[0]
    flat = np.stack([np.broadcast_to(s, start.shape).reshape(-1) for s in tried])
    pick = best.reshape(-1) if start.size > 1 else best.reshape(-1)[:1]
    scale = flat[pick, np.arange(start.size)].reshape(start.shape)
    del groups
    params = QuantParams(scale, np.zeros(start.shape, np.int32))
    grid = Grid(_rows(layer, scale, spec, target), fmt.qmin, fmt.qmax)
    chosen = descend(target, hessian, grid, chosen, options.sweeps)
    return params, chosen, chosen * _rows(layer, scale, spec, target)


def _moved(scale: NDArray[np.float32], steps: int, places: int) -> NDArray[np.float32]:
    return shorter_scale(np.ascontiguousarray(scale), steps * places)


def _rows(layer: Layer, scale: NDArray[np.float32], spec: object, target: Matrix) -> Matrix:
    values = scale.astype(np.float64).reshape(-1)
    return values.reshape(1, 1, 1) if values.size == 1 else values.reshape(target.shape[0], -1, 1)


def _from_matrix(layer: Layer, matrix: Matrix) -> Matrix:
    shape = layer.weight.shape  # type: ignore[union-attr]
    if layer.op == "Conv" or layer.channel_axis == 0:
        return matrix.reshape(shape)
    return matrix[0].T
