"""Plans from encodings of a float model, and the float model that encodings of a plan are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import PlanError, UsageError, unknown_name
from passes.interchange.activations import Found
from passes.interchange.extract import Extracted, fit
from passes.interchange.quantizer import Quantizer
from passes.interchange.weights import weight_quant
from passes.ir.layers import find_layers
from passes.ir.onnx_io import to_proto
from passes.ir.plan import Role, TensorQuant
from passes.ir.weights import rounded_weight
from passes.numerics import (
    IntFormat,
    PerChannel,
    PerTensor,
    QuantParams,
    QuantSpec,
    params_from_range,
    quantize,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.interchange.encodings import Encoding
    from passes.ir.layers import Layer
    from passes.ir.model import Model

_BIASED = ("Conv", "ConvTranspose", "Gemm")


def plan_from_encodings(model: Model, encodings: Mapping[str, Encoding]) -> Extracted:
    """Build the plan that encodings of a model's tensors describe.

    Weights get the nearest codes, in the narrowest format that holds them. Layers of which an operand has no
    encoding stay in floating point.

    Args:
        model: float; not changed.
        encodings: by name of the tensor.

    Raises:
        PlanError: a tensor is not in the model, or its encoding does not fit it.
    """
    tensors = model.graph.tensors()
    weights = {part.weight.name: part for it in find_layers(model.graph)[0] for part in it.parts}  # type: ignore[union-attr]
    found = Found()
    for name, entry in encodings.items():
        if name not in tensors:
            raise PlanError(str(unknown_name("tensor", name[:80], [str(it) for it in tensors])))
        if name in weights:
            found.weights[name] = _weight(weights[name], entry)
        elif isinstance(tensors[name], gs.Constant):
            found.kept[name] = "a constant that no layer multiplies by stays as it is"
        elif not entry.scale.size:
            found.kept[name] = "its encoding has no scale: it stays in floating point"
        else:
            found.acts[name] = _activation(name, entry)
    if not found.acts and not found.weights:
        raise PlanError("the encodings say nothing about a weight or an activation of this model")
    return fit(model, to_proto(model), found)


def rounded_model(model: Model) -> None:
    """Give the float model of a plan the weights and biases that the plan means.

    Files of encodings have scales but no codes; the codes of these weights are the nearest ones.

    Args:
        model: prepared for its plan; its graph is changed.

    Raises:
        PlanError: a bias for a layer that has no place for one.
    """
    for layer in find_layers(model.graph)[0]:
        for part in layer.parts:
            quant = model.plan.tensors.get(part.weight.name)  # type: ignore[union-attr]
            if quant is not None and quant.params is not None and quant.points is None:
                part.weight.values = rounded_weight(part, quant)  # type: ignore[union-attr]
        if layer.name in model.plan.biases:
            _set_bias(layer, np.asarray(model.plan.biases[layer.name], np.float32))


def _set_bias(layer: Layer, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    if layer.bias is not None:
        layer.bias.values = values.reshape(layer.bias.values.shape)
    elif layer.op in _BIASED:
        # Its list cannot delete a slice.
        layer.node.inputs = [*layer.node.inputs[:2], gs.Constant(f"{layer.name}.bias", values)]
    else:
        raise PlanError(f"layer {layer.name} ({layer.op}): the plan has a bias, the operator has none")


def _activation(name: str, entry: Encoding) -> TensorQuant:
    if entry.scale.size != 1:
        raise PlanError(
            f"tensor {name[:80]!r}: expected one scale for an activation, found {entry.scale.size}"
        )
    symmetric = entry.format.signed and not entry.zero.any()
    params = QuantParams(entry.scale.reshape(()), entry.zero.reshape(()).astype(np.int32))
    return TensorQuant(Role.ACT, QuantSpec(entry.format, PerTensor(), symmetric), params)


def _weight(layer: Layer, entry: Encoding) -> TensorQuant:
    values = layer.weight_values()
    axis = layer.channel_axis if entry.axis is None else entry.axis
    by_channel = entry.by_channel or entry.scale.size > 1
    granularity = PerChannel(axis) if by_channel else PerTensor()
    spec = QuantSpec(entry.format, granularity, symmetric=entry.format.signed)
    try:
        shape = granularity.param_shape(values.shape)
        params = (
            _ranged(values, spec)
            if not entry.scale.size
            else QuantParams(entry.scale.reshape(shape), entry.zero.reshape(shape).astype(np.int32))
        )
        codes = quantize(values, spec, params).astype(np.int64)
    except (ValueError, UsageError, IndexError) as error:
        raise PlanError(f"layer {layer.name}: the encoding does not fit its weight: {error}") from error
    fmt: IntFormat = entry.format
    numbers = Quantizer(
        params.scale, params.zero_point.astype(np.int64), fmt.bits, fmt.signed, axis % values.ndim, 0
    )
    return weight_quant(codes, numbers, axis % values.ndim, by_channel)


def _ranged(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], spec: QuantSpec) -> QuantParams:
    """Cover all values, as ONNX Runtime does where it is given a type only."""
    blocks = spec.granularity.blocks(values)
    shape = spec.granularity.param_shape(values.shape)
    return params_from_range(blocks.min(axis=1).reshape(shape), blocks.max(axis=1).reshape(shape), spec)
