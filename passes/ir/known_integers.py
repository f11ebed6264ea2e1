"""Integers that a graph computes from the shapes of its tensors, told in advance.

Exporters compute shapes at run time: Shape, Gather, Concat and arithmetic between them. With the symbolic
axes as names, all of this can be evaluated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs
from onnx import TensorProto

from passes.ir.extent import Extent

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Values = dict[str, "NDArray[Any]"]
"""Known integers, by tensor: numbers and `Extent`s."""
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)
MAX_VALUES = 64
"""Elements of an array that may be a shape; longer ones are data."""


def known_integers(graph: gs.Graph) -> Values:
    """Return the integers that can be told in advance, by tensor; those that are constants excepted."""
    known: Values = {}
    for node in graph.nodes:
        value = evaluate(node, known)
        if value is not None:
            known[node.outputs[0].name] = value
    return known


def evaluate(node: gs.Node, known: Values) -> NDArray[Any] | None:
    """Return the integers that a node yields, or ``None`` where they cannot be told."""
    rule = _RULES.get(node.op)
    if rule is None or len(node.outputs) != 1:
        return None
    if node.op == "Shape":
        return _shape(node)
    operands = [known_value(tensor, known) for tensor in node.inputs]
    if not operands or any(operand is None for operand in operands):
        return None
    try:
        result = rule(node.attrs, *operands)
        return None if result is None else np.asarray(result, dtype=object)
    except (ValueError, TypeError, IndexError, ZeroDivisionError):
        return None


def known_value(tensor: gs.Tensor, known: Values) -> NDArray[Any] | None:
    """Return the integers of a tensor, constant or known, as an array of objects; ``None`` for data."""
    if not isinstance(tensor, gs.Constant):
        return known.get(tensor.name)
    if tensor.dtype not in (np.int64, np.int32, np.bool_) or np.prod(tensor.shape) > MAX_VALUES:
        return None
    return np.asarray(tensor.values).astype(object)


def front_cut(node: gs.Node, known: Values) -> dict[int, Extent] | None:
    """Return the lengths to which a Slice (ONNX, opset 10) cuts, by axis; ``None`` for any other Slice.

    It must take elements one by one, from the first one on, and up to symbolic lengths.
    """
    settings = [known_value(tensor, known) for tensor in node.inputs[1:5]]
    lists = [None if value is None else value.tolist() for value in settings]
    if len(lists) < 2 or any(value is None for value in lists):
        return None
    starts, ends = lists[0] or [], lists[1] or []
    axes = range(len(ends)) if len(lists) < 3 else lists[2] or []
    steps = [1] if len(lists) < 4 else lists[3] or []
    if any(start != 0 for start in starts) or any(step != 1 for step in steps):
        return None
    if not all(isinstance(end, Extent) for end in ends):
        return None
    return {int(axis): end for axis, end in zip(axes, ends, strict=True)}


def _shape(node: gs.Node) -> NDArray[Any] | None:
    shape = node.inputs[0].shape
    if shape is None or any(not isinstance(dim, int | str) or dim == "" for dim in shape):
        return None
    extents = np.empty(len(shape), dtype=object)
    extents[:] = [Extent.parse(dim) if isinstance(dim, str) else dim for dim in shape]
    return extents[slice(node.attrs.get("start"), node.attrs.get("end"))]


def _slice(_: Any, data: Any, starts: Any, ends: Any, axes: Any = (0,), steps: Any = (1,)) -> Any:
    if list(axes) != [0] or data.ndim != 1:
        raise ValueError("only vectors are sliced")
    return data[int(starts[0]) : int(ends[0]) : int(steps[0])]


def _equal(_: Any, left: Any, right: Any) -> Any:
    """Compare; a symbolic axis differs from a negative number, and from nothing else for certain."""
    pairs = np.broadcast(left, right)
    return np.array([_same(a, b) for a, b in pairs], dtype=object).reshape(pairs.shape)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, Extent) == isinstance(right, Extent):
        if isinstance(left, Extent) and left != right:
            raise ValueError("two symbolic axes may be equal or not")
        return bool(left == right)
    if any(isinstance(side, int) and side < 0 for side in (left, right)):
        return False
    raise ValueError("a symbolic axis may have this size or another")


def _divide(_: Any, left: Any, right: Any) -> Any:
    if any(isinstance(item, int) and item < 0 for side in (left, right) for item in np.ravel(side)):
        raise ValueError("ONNX rounds a negative quotient towards zero")
    return left // right


def _axes_of(attrs: Any, axes: Any) -> tuple[int, ...] | None:
    """Return the axes of an attribute (up to opset 12) or an input; ``None`` for all of length one."""
    found = attrs.get("axes") if axes is None else axes
    return None if found is None else tuple(int(axis) for axis in found)


def _filled(attrs: Any, shape: Any) -> Any:
    value = attrs["value"].values.reshape(-1)[0] if "value" in attrs else 0
    extents = [int(extent) for extent in shape]
    if np.prod(extents) > MAX_VALUES or not isinstance(value, int | np.integer):
        raise ValueError("this is data and no shape")
    return np.full(extents, int(value), dtype=object)


_RULES: dict[str, Callable[..., Any]] = {
    "Shape": lambda *_: None,
    "Cast": lambda attrs, x: x if attrs["to"] in _INTEGERS else None,
    "Gather": lambda attrs, x, index: np.take(x, index.astype(np.int64), attrs.get("axis", 0)),
    "Unsqueeze": lambda attrs, x, axes=None: np.expand_dims(x, _axes_of(attrs, axes) or ()),
    "Squeeze": lambda attrs, x, axes=None: np.squeeze(x, _axes_of(attrs, axes)),
    "Concat": lambda attrs, *parts: np.concatenate(parts, attrs["axis"]),
    "Reshape": lambda _, x, shape: x.reshape(shape.astype(np.int64)),
    "Slice": _slice,
    "Mul": lambda _, a, b: a * b,
    "Div": _divide,
    "Add": lambda _, a, b: np.add(a, b),
    "Sub": lambda _, a, b: np.subtract(a, b),
    "Equal": _equal,
    "Where": lambda _, condition, a, b: np.where(condition.astype(bool), a, b),
    "ConstantOfShape": _filled,
    "Identity": lambda _, x: x,
}
