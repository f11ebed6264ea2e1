"""Moves a model to a higher opset so that it still gives what it gave, and ONNX Runtime still runs it.

The converter of the onnx package leaves two operators as they stand whose meaning changed: Hardmax (opset 13
has one axis where there were all from that axis on) and Resize (opset 11 has other coordinates by default).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper, shape_inference, version_converter

from passes.errors import ModelError
from passes.ir.nested import graphs_of, inner_graphs
from passes.ir.onnx_io import MAX_OPSET, model_from_proto, opset_of, to_proto
from passes.ir.ops import DEFAULT_DOMAINS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx_graphsurgeon as gs

    from passes.ir.model import Model

_IR_OF_OPSET = {
    13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13,
}  # fmt: skip
_LAST_OPSETS = {"Swish": 24} | dict.fromkeys(
    (
        "GlobalLpPool", "MaxRoiPool", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
        "RandomUniformLike", "RoiAlign",
    ),
    21,
)  # fmt: skip
"""Operators that ONNX Runtime 1.31 runs up to some opset only: it has no kernels of later ones, and of Swish
it expands the definition no further."""
_ONE_AXIS, _OTHER_COORDINATES = 13, 11
"""Opsets that gave Hardmax and Resize their present meaning."""


def highest_opset(graph: gs.Graph) -> int:
    """Return the highest opset at which ONNX Runtime is known to run the operators of a graph."""
    graphs = [graph, *graph.subgraphs(recursive=True)]
    return _highest(node.op for part in graphs for node in part.nodes)


def set_opset(model: Model, opset: int) -> None:
    """Bring a model to an opset, if it is at a lower one.

    Raises:
        ModelError: as for `raise_opset`.
    """
    if opset_of(model.carried.header) < opset:
        raised = model_from_proto(raise_opset(to_proto(model), opset), model.path, model.sha256, model.mapped)
        model.graph, model.carried = raised.graph, raised.carried


def raise_opset(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the model at a higher opset of the default domain, IR version included.

    Raises:
        ModelError: the converter of the onnx package does not know how to move one of the operators, or ONNX
            Runtime would not run it any more.
    """
    current = opset_of(proto)
    if opset <= current:
        return proto
    highest = _highest(node.op_type for part in graphs_of(proto.graph) for node in part.node)
    if current <= highest < opset:
        raise ModelError(
            f"cannot move the model from opset {current} to {opset}: ONNX Runtime runs its operators up to "
            f"opset {highest} only"
        )
    try:
        raised = version_converter.convert_version(proto, opset)
    except (RuntimeError, shape_inference.InferenceError, version_converter.ConvertError) as error:
        reason = _unknown_operator(proto) or str(error)
        raise ModelError(f"cannot move the model from opset {current} to {opset}: {reason}") from error
    if current < _ONE_AXIS <= opset:
        _flatten_hardmax(raised.graph)
    if current < _OTHER_COORDINATES <= opset:
        _keep_coordinates(raised.graph)
    raised.ir_version = max(raised.ir_version, _IR_OF_OPSET.get(opset, 3))
    return raised


def _unknown_operator(proto: onnx.ModelProto) -> str:
    """Name the first operator that ONNX lacks, on which its converter trips; empty where it has all."""
    for part in graphs_of(proto.graph):
        for node in part.node:
            if node.domain in DEFAULT_DOMAINS and not defs.has(node.op_type):
                return f"ONNX has no operator {node.op_type} (node {node.name!r})"
    return ""


def _highest(ops: Iterable[str]) -> int:
    return min((_LAST_OPSETS[op] for op in ops if op in _LAST_OPSETS), default=MAX_OPSET)


def _flatten_hardmax(graph: onnx.GraphProto) -> None:
    """Let every Hardmax see a matrix, as it did by itself: all axes from its own on are the columns."""
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        for inner in inner_graphs(node):
            _flatten_hardmax(inner)
        nodes.extend(_over_columns(node) if node.op_type == "Hardmax" and not node.domain else [node])
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _over_columns(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    x, result = node.input[0], node.output[0]
    axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 1)
    shape, matrix, maxima = (f"{result}.{part}" for part in ("shape", "matrix", "maxima"))
    return [
        helper.make_node("Shape", [x], [shape], name=f"{node.name}.shape"),
        helper.make_node("Flatten", [x], [matrix], name=f"{node.name}.matrix", axis=axis),
        helper.make_node("Hardmax", [matrix], [maxima], name=node.name, axis=-1),
        helper.make_node("Reshape", [maxima, shape], [result], name=f"{node.name}.result"),
    ]


def _keep_coordinates(graph: onnx.GraphProto) -> None:
    """Give every Resize the coordinates that it had at opset 10: without an offset of half a pixel."""
    known = {tensor.name: tensor for tensor in graph.initializer}
    known |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    for node in graph.node:
        for inner in inner_graphs(node):
            _keep_coordinates(inner)
        if node.op_type == "Resize" and not node.domain:
            scales = known.get(node.input[2])
            shrinks = scales is not None and bool(np.any(numpy_helper.to_array(scales) < 1))
            node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
            # ONNX Runtime rounds coordinates up where it leaves elements out.
            node.attribute.append(helper.make_attribute("nearest_mode", "ceil" if shrinks else "floor"))
