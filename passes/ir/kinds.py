"""How one node takes part in integer execution: its operator, and what its operands and attributes allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.integer_graph import INDEX_TYPES
from passes.ir.ops import OpClass, OpInfo, op_info

if TYPE_CHECKING:
    from collections.abc import Callable


_POOLED_AXES = {3: {1}, 4: {2, 3}}
"""Axes over which a mean is pooling, by rank."""
LOWEST = -1e30
"""A Where that puts this or less into scores hides them from a Softmax."""


def node_kind(node: gs.Node) -> OpClass:
    """Return the class of a node; one that integers cannot express as it stands is float."""
    info = op_info(node.op, node.domain)
    rule = _RULES.get(node.op) if (node.domain or "") == "" else None
    return info.kind if rule is None else rule(node, info.kind)


def data_inputs(node: gs.Node, info: OpInfo) -> list[gs.Tensor]:
    """Return the inputs of a node that carry data (not weights, shapes, bounds, indices or masks)."""
    kind, mask = node_kind(node), hiding(node)
    if kind is OpClass.SOURCE:
        return []
    if kind is OpClass.MASK or mask is not None:
        return [(mask or node).inputs[1]]
    return list(node.inputs) if info.data_inputs is None else list(node.inputs[: info.data_inputs])


def act_inputs(node: gs.Node, info: OpInfo) -> list[gs.Variable]:
    """Return the data inputs of a node that are computed, not constant."""
    return [tensor for tensor in data_inputs(node, info) if isinstance(tensor, gs.Variable) and tensor.name]


def scaling(node: gs.Node) -> float | None:
    """Return the positive constant by which a Mul multiplies one tensor, or a Div divides it, or ``None``."""
    if node.op not in ("Mul", "Div") or len(node.inputs) != 2 or not isinstance(node.inputs[0], gs.Variable):
        return None
    value = node.inputs[1]
    if not isinstance(value, gs.Constant) or value.values.size != 1 or value.dtype != np.float32:
        return None
    # With more axes than the tensor has, the product has more as well.
    if value.values.ndim > (1 if node.inputs[0].shape is None else len(node.inputs[0].shape)):
        return None
    factor = float(np.asarray(value.values).item())
    return factor if np.isfinite(factor) and factor > 0 else None


def constant_operand(node: gs.Node) -> gs.Constant | None:
    """Return the constant of a sum, a difference or a product with a computed tensor.

    A sum or a product needs one of more than one element: a mere number is often an epsilon, or hides scores.
    """
    constants = [tensor for tensor in node.inputs if isinstance(tensor, gs.Constant)]
    if node.op not in ("Add", "Sub", "Mul") or len(constants) != 1 or len(node.inputs) != 2:
        return None
    few = constants[0].values.size < (1 if node.op == "Sub" else 2)
    return None if few or constants[0].dtype != np.float32 else constants[0]


def hiding(node: gs.Node) -> gs.Node | None:
    """Return the Where that hides scores from a Softmax, or ``None``."""
    producers = node.inputs[0].inputs if node.op == "Softmax" else []
    return producers[0] if producers and node_kind(producers[0]) is OpClass.MASK else None


def _where(node: gs.Node, kind: OpClass) -> OpClass:
    keep, scores, low = node.inputs
    hides = isinstance(low, gs.Constant) and np.asarray(low.values, np.float64).max(initial=-np.inf) <= LOWEST
    read = node.outputs[0].outputs
    softmax = bool(read) and all(it.op == "Softmax" and _works_along_last(it) for it in read)
    same = scores.shape is not None and scores.shape == node.outputs[0].shape
    computed = isinstance(scores, gs.Variable) and keep.dtype == np.bool_
    return kind if hides and softmax and computed and same else OpClass.FLOAT


def _cast(node: gs.Node, kind: OpClass) -> OpClass:
    """Integers become activations where they become real numbers."""
    return (
        kind if node.outputs[0].dtype == np.float32 and node.inputs[0].dtype in INDEX_TYPES else OpClass.FLOAT
    )


def _table(node: gs.Node, kind: OpClass) -> OpClass:
    """A table enters where rows of it are picked, or where it is cut, by what is known at run time."""
    from_table = isinstance(node.inputs[0], gs.Constant) and len(node.inputs) > 1
    if node.op == "Gather" and node.attrs.get("axis", 0) != 0:
        return kind
    return OpClass.SOURCE if from_table else kind


def _reduce_sum(node: gs.Node, kind: OpClass) -> OpClass:
    """The axes must be given; without any, a ReduceSum sums all or nothing."""
    axes = node.attrs.get("axes") or (len(node.inputs) > 1 and isinstance(node.inputs[1], gs.Constant))
    return kind if axes else OpClass.FLOAT


def _mul(node: gs.Node, kind: OpClass) -> OpClass:
    return _with_constant(node, kind) if scaling(node) is None else OpClass.UNARY


def _with_constant(node: gs.Node, kind: OpClass) -> OpClass:
    """A constant behind a layer stays with its accumulators, in floating point."""
    if constant_operand(node) is None:
        return kind
    operand = next(tensor for tensor in node.inputs if isinstance(tensor, gs.Variable))
    behind = operand.inputs and op_info(operand.inputs[0].op, operand.inputs[0].domain).kind is OpClass.LAYER
    return kind if behind else OpClass.METHOD


def _clip(node: gs.Node, kind: OpClass) -> OpClass:
    """Bounds that are computed at run time have no codes."""
    constant = all(isinstance(bound, gs.Constant) or not bound.name for bound in node.inputs[1:])
    return kind if constant else OpClass.FLOAT


def _resize(node: gs.Node, kind: OpClass) -> OpClass:
    """A Resize to the nearest element copies; the other modes compute, and crops fill in values."""
    crops = node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    return kind if node.attrs.get("mode", "nearest") == "nearest" and not crops else OpClass.FLOAT


def _reduce_mean(node: gs.Node, kind: OpClass) -> OpClass:
    """A mean over spatial axes, or over the middle one of three (time), is pooling.

    Over channels it is part of a normalization, kept in float.
    """
    axes = node.attrs.get("axes")
    if axes is None and len(node.inputs) > 1 and isinstance(node.inputs[1], gs.Constant):
        axes = node.inputs[1].values.tolist()
    shape = node.inputs[0].shape
    pooled = _POOLED_AXES.get(len(shape) if shape is not None else 0)
    if not axes or shape is None or pooled is None:
        return OpClass.FLOAT
    return kind if {axis % len(shape) for axis in axes} == pooled else OpClass.FLOAT


def _softmax(node: gs.Node, kind: OpClass) -> OpClass:
    return kind if _works_along_last(node) else OpClass.FLOAT


def _normalization(node: gs.Node, kind: OpClass) -> OpClass:
    """The gain and the shift must be constant, one number per channel of the last axis."""
    shape = node.inputs[0].shape
    if not _works_along_last(node) or shape is None or not isinstance(shape[-1], int):
        return OpClass.FLOAT
    vectors = [tensor for tensor in node.inputs[1:] if tensor.name]
    constant = all(isinstance(it, gs.Constant) and it.values.size == shape[-1] for it in vectors)
    return kind if constant and vectors else OpClass.FLOAT


def _works_along_last(node: gs.Node) -> bool:
    shape = node.inputs[0].shape
    axis = node.attrs.get("axis")
    # Before opset 13 the default of Softmax was 1 and not -1; the two agree where it is written out.
    default = None if node.op == "Softmax" else -1
    axis = default if axis is None else axis
    return shape is not None and len(shape) > 0 and axis in (-1, len(shape) - 1)


_RULES: dict[str, Callable[[gs.Node, OpClass], OpClass]] = {
    "Mul": _mul,
    "Div": _mul,
    "Add": _with_constant,
    "Sub": _with_constant,
    "Cast": _cast,
    "Clip": _clip,
    "Gather": _table,
    "ReduceSum": _reduce_sum,
    "Slice": _table,
    "Where": _where,
    "Resize": _resize,
    "ReduceMean": _reduce_mean,
    "Softmax": _softmax,
    "LayerNormalization": _normalization,
    "RMSNormalization": _normalization,
}
