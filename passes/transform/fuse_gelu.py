"""The five operators by which exporters spell GELU are one (ONNX Gelu, opset 20)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

if TYPE_CHECKING:
    from collections.abc import Iterator

GELU_OPSET = 20
CLOSE = 1e-5
"""Relative difference at which two constants count as equal."""


def find_gelus(graph: gs.Graph) -> list[tuple[gs.Variable, gs.Variable]]:
    """Return input and output of every ``x / 2 * (1 + Erf(x / sqrt(2)))``, in any order of its factors."""
    outputs = {tensor.name for tensor in graph.outputs}
    return [found for node in graph.nodes if node.op == "Erf" for found in _gelu(node, outputs)]


def fuse_gelu(graph: gs.Graph, found: tuple[gs.Variable, gs.Variable]) -> None:
    """Put a Gelu between an input and an output. The graph must be of opset 20 or later."""
    x, result = found
    name = f"{result.inputs[0].name}.gelu"
    result.inputs.clear()
    graph.nodes.append(gs.Node("Gelu", name, {"approximate": "none"}, [x], [result]))


def _gelu(erf: gs.Node, outputs: set[str]) -> Iterator[tuple[gs.Variable, gs.Variable]]:
    scaled = erf.inputs[0].inputs[0] if erf.inputs[0].inputs else None
    shifted = _reader(erf.outputs[0], "Add", outputs)
    if scaled is None or shifted is None or not _is_constant(shifted, 1.0):
        return
    factor = _constant(scaled)
    root = math.sqrt(0.5) if scaled.op == "Mul" else math.sqrt(2.0)
    if scaled.op not in ("Mul", "Div") or factor is None or not math.isclose(factor, root, rel_tol=CLOSE):
        return
    x = scaled.inputs[0] if isinstance(scaled.inputs[0], gs.Variable) else scaled.inputs[1]
    result = _product(shifted.outputs[0], x, outputs)
    if result is not None and len(scaled.outputs[0].outputs) == 1:
        yield x, result


def _product(shifted: gs.Variable, x: gs.Variable, outputs: set[str]) -> gs.Variable | None:
    """Return ``shifted * x / 2``, whichever of the two factors comes first."""
    first = _reader(shifted, "Mul", outputs)
    if first is None:
        return None
    if any(tensor is x for tensor in first.inputs):
        last = _reader(first.outputs[0], "Mul", outputs)
        return last.outputs[0] if last is not None and _is_constant(last, 0.5) else None
    if _is_constant(first, 0.5):
        last = _reader(first.outputs[0], "Mul", outputs)
        return last.outputs[0] if last is not None and any(tensor is x for tensor in last.inputs) else None
    half = next(tensor for tensor in first.inputs if tensor is not shifted)
    halved = half.inputs[0] if half.inputs else None
    if halved is None or halved.op != "Mul" or not _is_constant(halved, 0.5):
        return None
    return first.outputs[0] if any(tensor is x for tensor in halved.inputs) else None


def _reader(tensor: gs.Variable, op: str, outputs: set[str]) -> gs.Node | None:
    """Return the only reader of a tensor, if it is of this kind."""
    alone = len(tensor.outputs) == 1 and tensor.name not in outputs
    return tensor.outputs[0] if alone and tensor.outputs[0].op == op else None


def _constant(node: gs.Node) -> float | None:
    constants = [tensor for tensor in node.inputs if isinstance(tensor, gs.Constant)]
    if len(constants) != 1 or constants[0].values.size != 1:
        return None
    return float(np.asarray(constants[0].values).item())


def _is_constant(node: gs.Node, value: float) -> bool:
    found = _constant(node)
    return found is not None and math.isclose(found, value, rel_tol=CLOSE)
