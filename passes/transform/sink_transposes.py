"""Networks that keep channels last become networks that keep them second, as convolutions do.

Converters from TensorFlow put a Transpose before and behind every convolution. The one behind moves past the
operators that treat every element alike, towards the next one before, and both vanish. What followed the
convolution then follows it directly: normalizations fold into it, and bounds fuse with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.ops import OpClass, op_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Perm = tuple[int, ...]
    Moved = tuple[list[gs.Tensor], Perm]

_SOURCES = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool"})
_UNARY_KINDS = (OpClass.UNARY, OpClass.CLAMP)


def sink_transposes(graph: gs.Graph) -> int:
    """Move every Transpose that puts the channels of a convolution last past what can be computed before it.

    Args:
        graph: in topological order, with unique names and constants folded; changed in place. It is no longer
            sorted, and nodes that nothing reads any more stay for a cleanup.

    Returns:
        How many operators now come before it.
    """
    waiting = [node for node in graph.nodes if _behind_convolution(node)]
    moved = 0
    while waiting:
        node = waiting.pop(0)
        for reader in _distinct(node.outputs[0].outputs):
            if reader.op == "Transpose":
                _join(node, reader)
                moved += 1
            elif (sunk := _sink(graph, node, reader)) is not None:
                waiting.append(sunk)
                moved += 1
    return moved


def _behind_convolution(node: gs.Node) -> bool:
    if node.op != "Transpose" or not node.inputs[0].inputs or node.inputs[0].inputs[0].op not in _SOURCES:
        return False
    perm = _perm(node)
    return perm == (0, *range(2, len(perm)), 1)


def _perm(node: gs.Node) -> Perm:
    rank = len(node.inputs[0].shape or ())
    return tuple(node.attrs.get("perm", range(rank)[::-1]))


def _distinct(nodes: list[gs.Node]) -> Iterator[gs.Node]:
    """Yield each node once: a square reads the same tensor twice."""
    return iter({id(node): node for node in nodes}.values())


def _join(first: gs.Node, second: gs.Node) -> None:
    """Let the second of two Transposes read what the first one reads; one that changes nothing is a copy."""
    perm = [_perm(first)[axis] for axis in _perm(second)]
    second.inputs[0] = first.inputs[0]
    second.attrs["perm"] = perm
    if perm == sorted(perm):
        second.op, second.attrs = "Identity", {}


def _sink(graph: gs.Graph, node: gs.Node, reader: gs.Node) -> gs.Node | None:
    """Compute a reader before a Transpose; return the Transpose behind it, if there is one."""
    if reader.domain or len(reader.outputs) != 1:
        return None
    rule = _RULES.get(reader.op, _element if op_info(reader.op).kind in _UNARY_KINDS else None)
    found = None if rule is None else rule(reader, node)
    if found is None:
        return None
    inputs, perm = found
    reader.inputs, result = inputs, reader.outputs[0]
    if perm == tuple(sorted(perm)):
        return None
    shape = None if result.shape is None else [result.shape[perm.index(axis)] for axis in range(len(perm))]
    before = gs.Variable(f"{result.name}.channels_second", result.dtype, shape)
    reader.outputs = [before]
    behind = gs.Node("Transpose", f"{reader.name}.channels_last", {"perm": list(perm)}, [before], [result])
    graph.nodes.append(behind)
    return behind


def _element(reader: gs.Node, node: gs.Node) -> Moved:
    """A function of one element, with settings that are numbers."""
    return [node.inputs[0], *reader.inputs[1:]], _perm(node)


def _binary(reader: gs.Node, node: gs.Node) -> Moved | None:
    """The other operand is a constant, or comes out of such a Transpose, too."""
    perm = _perm(node)
    operands = [_untransposed(reader, tensor, perm) for tensor in reader.inputs]
    found = [tensor for tensor in operands if tensor is not None]
    return (found, perm) if len(found) == 2 else None


def _untransposed(reader: gs.Node, tensor: gs.Tensor, perm: Perm) -> gs.Tensor | None:
    if isinstance(tensor, gs.Variable):
        source = tensor.inputs[0] if tensor.inputs else None
        same = source is not None and source.op == "Transpose" and _perm(source) == perm
        return source.inputs[0] if same and source is not None else None
    values = np.asarray(tensor.values)
    if values.ndim > len(perm):
        return None
    whole = values.reshape((1,) * (len(perm) - values.ndim) + values.shape).transpose(np.argsort(perm))
    return gs.Constant(f"{reader.name}.{tensor.name}", np.ascontiguousarray(whole))


def _pad(reader: gs.Node, node: gs.Node) -> Moved | None:
    """Extents to add, as a constant: before every axis, and then behind it."""
    if len(reader.inputs) > 3 or len(reader.inputs) < 2 or not isinstance(reader.inputs[1], gs.Constant):
        return None
    perm = _perm(node)
    pads = np.asarray(reader.inputs[1].values).reshape(2, -1)
    moved = gs.Constant(f"{reader.name}.pads", np.ascontiguousarray(pads[:, np.argsort(perm)].reshape(-1)))
    return [node.inputs[0], moved, *reader.inputs[2:]], perm


def _mean(reader: gs.Node, node: gs.Node) -> Moved | None:
    """Axes as attribute or, since opset 18, as an input; what is left keeps its order."""
    perm, given = _perm(node), reader.attrs.get("axes")
    if given is None and len(reader.inputs) == 2 and isinstance(reader.inputs[1], gs.Constant):
        given = np.asarray(reader.inputs[1].values).tolist()
    if not given:
        return None
    axes = {axis % len(perm) for axis in given}
    before = sorted(perm[axis] for axis in axes)
    constants: list[gs.Tensor] = []
    if "axes" in reader.attrs:
        reader.attrs["axes"] = before
    else:
        constants = [gs.Constant(f"{reader.name}.axes", np.array(before, np.int64))]
    if reader.attrs.get("keepdims", 1):
        return [node.inputs[0], *constants], perm
    left = [axis for at, axis in enumerate(perm) if at not in axes]
    return [node.inputs[0], *constants], tuple(sorted(left).index(axis) for axis in left)


_RULES: dict[str, Callable[[gs.Node, gs.Node], Moved | None]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Min", "Max"), _binary),
    "Pad": _pad,
    "ReduceMean": _mean,
}
