"""From a layer of the graph to the work that a machine is asked for."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from hwmodels import Workload
from passes.errors import ModelError
from passes.ir.layers import NO_SIZES, elements, static_shape
from passes.ir.recurrent import GATES
from passes.ir.weight_groups import group_axis, has_groups
from passes.numerics import PerGroup

if TYPE_CHECKING:
    from passes.ir.layers import Layer, TensorShapes


def workload(layer: Layer, group_size: int = 0, sizes: TensorShapes = NO_SIZES) -> Workload:
    """Return the work of one layer for one sample.

    Args:
        layer: with known shapes.
        group_size: input channels that share a scale where the layer can have such groups; 0 for none.
        sizes: shapes by tensor name, where the graph leaves them open.

    Raises:
        ModelError: a shape is unknown, or is none that the operator can have.
    """
    if static_shape(layer.act, sizes) is None or static_shape(layer.output, sizes) is None:
        raise ModelError(
            f"layer {layer.name}: the shape of its input or output is unknown; fix it with --shape"
        )
    if layer.recurrent:
        return _recurrent(layer, sizes)
    work = _matrix(layer, sizes) if layer.op in ("Gemm", "MatMul") else _convolution(layer, sizes)
    return replace(work, multiplier_count=_multipliers(layer, group_size))


def _multipliers(layer: Layer, size: int) -> int:
    if not has_groups(layer, 1, size):
        return 0
    shape = tuple(layer.weight.shape)  # type: ignore[union-attr]
    return prod(PerGroup(group_axis(layer) or 0, size).param_shape(shape))


def _convolution(layer: Layer, sizes: TensorShapes) -> Workload:
    weight = layer.weight.shape  # type: ignore[union-attr]
    shape, result = static_shape(layer.act, sizes) or (), static_shape(layer.output, sizes) or ()
    if not len(shape) == len(result) == len(weight) >= 3:
        raise ModelError(
            f"layer {layer.name}: a convolution needs input, output and weight of one rank, 3 at least, "
            f"found {len(shape)}, {len(result)} and {len(weight)}; the shapes in the model contradict it"
        )
    batch, in_channels, *_ = shape
    _, out_channels, *spatial = result
    return Workload(
        name=layer.name,
        op="Conv" if layer.op == "Conv" else "ConvTranspose",
        batch=batch,
        groups=layer.groups,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel=tuple(weight[2:]),
        out_spatial=tuple(spatial),
        in_elements=elements(layer.act, sizes),
        out_elements=elements(layer.output, sizes),
        weight_count=prod(weight),
        bias_count=out_channels if layer.bias is not None else 0,
    )


def _recurrent(layer: Layer, sizes: TensorShapes) -> Workload:
    steps, batch, inputs = static_shape(layer.act, sizes) or (1, 1, 1)
    hidden = layer.hidden_weight.shape[-1]  # type: ignore[union-attr]
    return Workload.recurrent(layer.name, (inputs, hidden), gates=GATES[layer.op], steps=steps, batch=batch)


def _matrix(layer: Layer, sizes: TensorShapes) -> Workload:
    shape, result = static_shape(layer.act, sizes) or (1,), static_shape(layer.output, sizes) or (1,)
    computed = layer.weight is None
    batch = prod(shape[:-2]) if computed else 1
    rows = shape[-2] if computed and len(shape) > 1 else prod(shape[:-1])
    return Workload(
        name=layer.name,
        op="Gemm" if layer.op == "Gemm" else "MatMul",
        batch=batch,
        in_channels=shape[-1],
        out_channels=result[-1],
        out_spatial=(rows,),
        in_elements=elements(layer.act, sizes),
        out_elements=elements(layer.output, sizes),
        weight_count=0 if computed else prod(layer.weight.shape),  # type: ignore[union-attr]
        rhs_elements=elements(layer.rhs, sizes) if layer.rhs is not None else 0,
        bias_count=result[-1] if layer.bias is not None else 0,
    )
