"""Constants that are stored sparsely become dense ones: the graph has no others (ONNX SparseTensorProto)."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from passes.errors import ModelError
from passes.ir.nested import inner_graphs

MAX_ELEMENTS = 1 << 26
"""Elements of the largest one: a file of a few bytes can name any number of zeros."""


def make_dense(graph: onnx.GraphProto, path: str) -> None:
    """Replace sparse initializers and sparse values of Constant nodes, nested graphs included.

    Args:
        graph: changed in place; external data have been read.
        path: where it came from, for messages.

    Raises:
        ModelError: indices lie outside the shape, or there would be too many elements.
    """
    graph.initializer.extend(_dense(it, path) for it in graph.sparse_initializer)
    del graph.sparse_initializer[:]
    for node in graph.node:
        for inner in inner_graphs(node):
            make_dense(inner, path)
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor") and attribute.name == "sparse_value":
                attribute.t.CopyFrom(_dense(attribute.sparse_tensor, path))
                attribute.ClearField("sparse_tensor")
                attribute.name, attribute.type = "value", onnx.AttributeProto.TENSOR


def _dense(sparse: onnx.SparseTensorProto, path: str) -> onnx.TensorProto:
    shape, where = tuple(sparse.dims), f"{path}: sparse tensor {sparse.values.name!r}"
    if min(shape, default=0) < 0 or prod(shape) > MAX_ELEMENTS:
        raise ModelError(f"{where}: expected at most {MAX_ELEMENTS} elements, found shape {list(shape)}")
    try:
        values, indices = (numpy_helper.to_array(it) for it in (sparse.values, sparse.indices))
        found = np.zeros(shape, values.dtype)
        if indices.ndim == 2:
            indices = np.ravel_multi_index(tuple(indices.T), shape)
        # From the end on, a negative index would count as one.
        found.reshape(-1)[np.where(indices < 0, found.size, indices)] = values.reshape(-1)
    except (ValueError, TypeError, IndexError) as error:
        raise ModelError(f"{where}: its indices do not fit its shape {list(shape)}: {error}") from error
    return numpy_helper.from_array(found, sparse.values.name)
