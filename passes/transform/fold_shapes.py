"""Computes shapes in advance where they depend on symbolic axes only in ways that a Reshape can express.

Exporters compute the shapes of a Reshape at run time: Shape, Gather, Concat and arithmetic between them. With
the symbolic axes as names, all of this can be evaluated; what comes out is a constant, or a constant with a
0 (keep this axis) or one -1 (infer it) in place of what is not known.
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


def fold_shapes(graph: gs.Graph) -> int:
    """Replace computed integers and target shapes by constants; return how many.

    Args:
        graph: in topological order; changed in place. Nodes that nothing reads any more stay for a cleanup.
    """
    known: Values = {}
    folded = 0
    outputs = {tensor.name for tensor in graph.outputs}
    for node in graph.nodes:
        if node.op in ("Reshape", "Expand"):
            folded += _fold_target(node, known)
        value = _evaluate(node, known)
        if value is None:
            continue
        known[node.outputs[0].name] = value
        if not _is_symbolic(value) and node.outputs[0].name not in outputs:
            folded += _replace(node.outputs[0], value)
    return folded


def known_integers(graph: gs.Graph) -> Values:
    """Return the integers that can be told in advance, by tensor; those that are constants excepted."""
    known: Values = {}
    for node in graph.nodes:
        value = _evaluate(node, known)
        if value is not None:
            known[node.outputs[0].name] = value
    return known


def _evaluate(node: gs.Node, known: Values) -> NDArray[Any] | None:
    """Return the integers that a node yields, or ``None`` where they cannot be told."""
    rule = _RULES.get(node.op)
    if rule is None or len(node.outputs) != 1:
        return None
    if node.op == "Shape":
        return _shape(node)
    operands = [_value(tensor, known) for tensor in node.inputs]
    if not operands or any(operand is None for operand in operands):
        return None
    try:
        result = rule(node.attrs, *operands)
        return None if result is None else np.asarray(result, dtype=object)
    except (ValueError, TypeError, IndexError, ZeroDivisionError):
        return None


def _value(tensor: gs.Tensor, known: Values) -> NDArray[Any] | None:
    if not isinstance(tensor, gs.Constant):
        return known.get(tensor.name)
    if tensor.dtype not in (np.int64, np.int32, np.bool_) or np.prod(tensor.shape) > MAX_VALUES:
        return None
    return np.asarray(tensor.values).astype(object)


def _shape(node: gs.Node) -> NDArray[Any] | None:
    shape = node.inputs[0].shape
    if shape is None or any(not isinstance(dim, int | str) or dim == "" for dim in shape):
        return None
    extents = np.empty(len(shape), dtype=object)
    extents[:] = [Extent.parse(dim) if isinstance(dim, str) else dim for dim in shape]
    return extents[slice(node.attrs.get("start"), node.attrs.get("end"))]


def _is_symbolic(value: NDArray[Any]) -> bool:
    return any(isinstance(item, Extent) for item in value.reshape(-1))


def _replace(tensor: gs.Variable, value: NDArray[Any]) -> int:
    """Let the readers of a tensor read a constant."""
    if not tensor.outputs or tensor.dtype is None:
        return 0
    constant = gs.Constant(f"{tensor.name}.folded", value.astype(tensor.dtype))
    for reader in list(tensor.outputs):
        reader.inputs = [constant if item is tensor else item for item in reader.inputs]
    return 1


def _fold_target(node: gs.Node, known: Values) -> int:
    """Give a Reshape or Expand a constant shape; 1 if it could be done."""
    target = None if isinstance(node.inputs[1], gs.Constant) else known.get(node.inputs[1].name)
    if target is None or not _is_symbolic(target) or node.attrs.get("allowzero", 0):
        return 0
    shape = node.inputs[0].shape or []
    own = [Extent.parse(dim) if isinstance(dim, str) else dim for dim in shape]
    # Expand keeps an axis where the target is 1, Reshape where it is 0.
    keep = 1 if node.op == "Expand" else 0
    aligned = [None] * max(0, len(target) - len(own)) + own if node.op == "Expand" else own
    dims = [
        keep if isinstance(want, Extent) and index < len(aligned) and want == aligned[index] else want
        for index, want in enumerate(target.tolist())
    ]
    unknown = [index for index, dim in enumerate(dims) if isinstance(dim, Extent)]
    if len(unknown) > 1 or (unknown and (node.op == "Expand" or -1 in dims)):
        return 0
    for index in unknown:
        dims[index] = -1
    node.inputs[1] = gs.Constant(f"{node.name}.target", np.array(dims, dtype=np.int64))
    return 1


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


def _axes_of(attrs: Any, axes: Any) -> tuple[int, ...]:
    return tuple(int(axis) for axis in (attrs["axes"] if axes is None else axes))


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
    "Unsqueeze": lambda attrs, x, axes=None: np.expand_dims(x, _axes_of(attrs, axes)),
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
