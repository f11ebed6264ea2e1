"""A network in bfloat16 is read as one in float32, which holds every number of bfloat16 (ONNX TensorProto).

Neither numpy nor the kernels of ONNX Runtime for processors have the type: such a network could not be run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

from passes.ir.external import tensors_of
from passes.ir.nested import graphs_of
from passes.ir.ops import OpClass, op_info

if TYPE_CHECKING:
    import onnx

_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "stash_type", "softmax_precision")


def widen_brain_floats(graph: onnx.GraphProto) -> None:
    """Give everything of bfloat16 single precision, where layers have constant weights of that type.

    Args:
        graph: changed in place, nested graphs included; inputs and outputs as well.
    """
    brains = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.BFLOAT16}
    brains |= {name for node in graph.node if _constant(node) for name in node.output}
    layers = [node for node in graph.node if op_info(node.op_type, node.domain).kind is OpClass.LAYER]
    if any(brains.intersection(node.input) for node in layers):
        _widen(graph)


def _constant(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant" and any(it.t.data_type == TensorProto.BFLOAT16 for it in node.attribute)


def _widen(graph: onnx.GraphProto) -> None:
    for tensor in tensors_of(graph):
        if tensor.data_type == TensorProto.BFLOAT16:
            wide = np.asarray(numpy_helper.to_array(tensor)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for part in graphs_of(graph):
        for value in (*part.input, *part.output, *part.value_info):
            if value.type.tensor_type.elem_type == TensorProto.BFLOAT16:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        for attribute in (it for node in part.node for it in node.attribute):
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i == TensorProto.BFLOAT16:
                attribute.i = TensorProto.FLOAT
