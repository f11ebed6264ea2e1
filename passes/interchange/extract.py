"""From a quantized ONNX model to a float model and a plan that say the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from hwmodels import FLOAT, Precision
from passes.errors import ModelError, PlanError
from passes.interchange.activations import Found, take_activations
from passes.interchange.alignment import align, detach
from passes.interchange.interface import name_inputs
from passes.interchange.movers import move_floats
from passes.interchange.network import Network
from passes.interchange.qoperators import expand_qoperators
from passes.interchange.quant_nodes import expand_quant_nodes
from passes.interchange.weights import fold_constant_quantizers, take_weights
from passes.ir.onnx_io import model_from_proto, to_proto
from passes.ir.opsets import raise_opset
from passes.ir.plan import LayerBits, QuantPlan
from passes.ir.weight_groups import base_scale

if TYPE_CHECKING:
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup

LEAST_OPSET = 13
"""Lowest opset in which Clip, DequantizeLinear and the movers of integers are as read here."""


@dataclass(frozen=True)
class Extracted:
    """A quantized model taken apart.

    Attributes:
        model: float graph and plan; its digest is that of `proto` as it is written.
        proto: the float model.
        kept: nodes that stay as they are, with the reason, by name.
    """

    model: Model
    proto: onnx.ModelProto
    kept: dict[str, str]


def extract(model: Model, float_io: bool = False) -> Extracted:
    """Take the quantization off a model of Q/DQ pairs, QOperators or QONNX Quant nodes.

    Scales, zero points and stored integers go into the plan as they are. What a plan cannot hold stays in the
    graph and is listed.

    Args:
        model: as read; not changed.
        float_io: let inputs and results of the model that are integers become floats, which the packed form
            needs.

    Raises:
        ModelError: nothing in it is quantized, or in a way that contradicts itself.
    """
    found = Found()
    try:
        proto = _taken_apart(model, found, float_io)
    # What a hostile file says of its nodes meets numpy and protobuf here.
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise ModelError(f"{model.path}: a quantizer in this model makes no sense: {error!s:.200}") from error
    if not found.acts and not found.weights:
        raise ModelError(
            f"{model.path}: nothing in this model is quantized in a way that a plan can hold; expected Q/DQ "
            f"pairs, QLinear operators or Quant nodes with constant scales{_first(found)}"
        )
    return fit(model, proto, found)


def _taken_apart(model: Model, found: Found, float_io: bool) -> onnx.ModelProto:
    network = Network(to_proto(model))
    expand_quant_nodes(network, found)
    network = Network(raise_opset(network.proto, LEAST_OPSET))
    expand_qoperators(network, found)
    fold_constant_quantizers(network, found)
    move_floats(network)
    name_inputs(network, found, float_io)
    take_activations(network, found)
    take_weights(network, found)
    network.drop_unread(found.unread)
    return network.proto


def _first(found: Found) -> str:
    return "".join(f" (node {name!r}: {reason})" for name, reason in list(found.kept.items())[:1])


def fit(model: Model, proto: onnx.ModelProto, found: Found) -> Extracted:
    """Fit a float graph and what is known of its tensors together.

    Args:
        model: where the graph comes from.
        proto: the float graph; it is changed.
        found: quantization of activations and weights; entries are added and removed.

    Raises:
        ModelError: nothing of it is left in the plan.
    """
    del proto.graph.value_info[:]
    floats = model_from_proto(proto, model.path, "")
    setup = align(floats.graph, found.acts)
    every = (*setup.layers, *setup.floats)
    _check_groups(setup, found)
    layers = {it.name: LayerBits(it.op, _precision(it, found)) for it in every}
    kept = {name for name, bits in layers.items() if bits.precision.act_bits == FLOAT.act_bits}
    reading = {it.name for it in every if it.name in kept and _quantized_operand(it, found)}
    detach(floats.graph, frozenset(reading))
    weights = {part.weight.name for it in every for part in it.parts if _stays(it, layers)}  # type: ignore[union-attr]
    for name in found.weights.keys() - weights:
        found.kept[name] = "no layer of the plan multiplies by it: it is a float constant now"
    order = {name: index for index, name in enumerate(floats.graph.tensors())}
    names = sorted(found.acts, key=lambda name: order.get(name, len(order)))
    tensors = {name: found.weights[name] for name in found.weights if name in weights}
    if not tensors and not names:
        raise ModelError(
            f"{model.path}: no layer and no activation can be quantized as it says{_first(found)}"
        )
    plan = QuantPlan(layers, tensors | {name: found.acts[name] for name in names})
    out = to_proto(floats)
    digest = hashlib.sha256(out.SerializeToString(deterministic=True)).hexdigest()
    result = model_from_proto(out, model.path, digest)
    result.plan = plan
    return Extracted(result, out, dict(sorted(found.kept.items())))


def _stays(layer: Layer, layers: dict[str, LayerBits]) -> bool:
    return layers[layer.name].precision.weight_bits != FLOAT.weight_bits


def _precision(layer: Layer, found: Found) -> Precision:
    act = found.acts.get(layer.act.name)
    if layer.rhs is not None:
        right = found.acts.get(layer.rhs.name)
        if act is None or right is None:
            return FLOAT
        return Precision(right.spec.format.bits, act.spec.format.bits)
    weights = [found.weights.get(part.weight.name) for part in layer.parts]  # type: ignore[union-attr]
    if any(it is None for it in weights):
        return FLOAT
    bits = max(it.spec.format.bits for it in weights if it is not None)
    return Precision(bits, FLOAT.act_bits if act is None else act.spec.format.bits)


def _quantized_operand(layer: Layer, found: Found) -> bool:
    return any(it is not None and it.name in found.acts for it in (layer.act, layer.rhs))


def _check_groups(setup: QuantizerSetup, found: Found) -> None:
    """Give up the integers of weights whose scales of groups have no two levels."""
    for layer in setup.stored:
        for part in layer.parts:
            name = part.weight.name  # type: ignore[union-attr]
            try:
                if name in found.weights:
                    base_scale(part, found.weights[name])
            except PlanError as error:
                del found.weights[name]
                found.kept[name] = f"a float constant now: {error}"
