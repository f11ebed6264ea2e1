"""A network in half or double precision is computed in single precision, but for its inputs and outputs.

Integer layers stand between float32 tensors. ONNX Runtime computes most operators of float16 that way on
processors in any case; of float64 it has few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs
from onnx import TensorProto, helper

from passes.ir.ops import OpClass, op_info

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERS = (np.dtype(np.float16), np.dtype(np.float64))
_TYPE_ATTRIBUTES = {"Cast": "to", "EyeLike": "dtype", "Bernoulli": "dtype"}
_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


def to_single_precision(graph: gs.Graph) -> int:
    """Give tensors of float16 or float64 single precision, where layers have constant weights of that type.

    Args:
        graph: changed in place; Casts stand behind its inputs and in front of its outputs.

    Returns:
        How many tensors have another type now, those of nested graphs included.
    """
    kinds = {kind for node in graph.nodes for kind in _weight_types(node)}
    if not kinds:
        return 0
    for tensor in [it for it in graph.inputs if it.dtype in kinds]:
        _cast_input(graph, tensor)
    for tensor in [it for it in graph.outputs if it.dtype in kinds and it.inputs]:
        _cast_output(graph, tensor)
    kept = {id(tensor) for tensor in (*graph.inputs, *graph.outputs)}
    others = [it for it in _tensors(graph) if it.dtype in kinds and id(it) not in kept]
    for tensor in others:
        if isinstance(tensor, gs.Constant):
            tensor.values = tensor.values.astype(np.float32)
        else:
            tensor.dtype = np.dtype(np.float32)
    for part in (graph, *graph.subgraphs(recursive=True)):
        for node in part.nodes:
            if not any(id(tensor) in kept for tensor in node.outputs):
                _settle_attributes(node, kinds)
    return len(others)


def _weight_types(node: gs.Node) -> set[np.dtype[np.generic]]:
    """Return the types of the constants of a layer, other than float32."""
    if op_info(node.op, node.domain).kind is not OpClass.LAYER:
        return set()
    return {it.dtype for it in node.inputs if isinstance(it, gs.Constant) and it.dtype in _OTHERS}


def _cast_input(graph: gs.Graph, tensor: gs.Variable) -> None:
    single = gs.Variable(f"{tensor.name}.single", np.float32, tensor.shape)
    for reader in list(tensor.outputs):
        reader.inputs = [single if it is tensor else it for it in reader.inputs]
    attrs = {"to": int(TensorProto.FLOAT)}
    graph.nodes.insert(0, gs.Node("Cast", f"{tensor.name}.to_single", attrs, [tensor], [single]))


def _cast_output(graph: gs.Graph, tensor: gs.Variable) -> None:
    single = gs.Variable(f"{tensor.name}.single", np.float32, tensor.shape)
    for reader in list(tensor.outputs):
        reader.inputs = [single if it is tensor else it for it in reader.inputs]
    (producer,) = tensor.inputs
    producer.outputs = [single if it is tensor else it for it in producer.outputs]
    attrs = {"to": int(helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)))}
    graph.nodes.append(gs.Node("Cast", f"{tensor.name}.from_single", attrs, [single], [tensor]))


def _tensors(graph: gs.Graph) -> Iterator[gs.Tensor]:
    """Yield every tensor once, those of nested graphs included."""
    seen: set[int] = set()
    for part in (graph, *graph.subgraphs(recursive=True)):
        nodes = (tensor for node in part.nodes for tensor in (*node.inputs, *node.outputs))
        for tensor in (*part.inputs, *part.outputs, *nodes):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


def _settle_attributes(node: gs.Node, kinds: set[np.dtype[np.generic]]) -> None:
    """Let a node that makes tensors of such a type by an attribute make float32."""
    name = "dtype" if node.op in _RANDOM else _TYPE_ATTRIBUTES.get(node.op)
    if name is not None and node.attrs.get(name) in {helper.np_dtype_to_tensor_dtype(it) for it in kinds}:
        node.attrs[name] = int(TensorProto.FLOAT)
    value = node.attrs.get("value")
    if isinstance(value, gs.Constant) and value.dtype in kinds:
        value.values = value.values.astype(np.float32)
