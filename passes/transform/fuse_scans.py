"""A Scan whose body is the cell of an LSTM, GRU or RNN is that operator (ONNX Scan, opsets 9 to 23)."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.ops import DEFAULT_DOMAINS
from passes.ir.recurrent import DIRECTIONS
from passes.transform.recurrent_cells import Cell, find_cell
from passes.transform.split_recurrent import is_zero

MAX_NODES, MAX_CHANNELS = 256, 4096
"""A body that has more is no cell, or too large to be looked at."""


def fuse_scans(graph: gs.Graph) -> int:
    """Replace every such Scan; return how many.

    Args:
        graph: changed in place; replaced nodes stay, unread, for a cleanup.
    """
    outputs = {tensor.name for tensor in graph.outputs}
    scans = [node for node in graph.nodes if node.op == "Scan" and (node.domain or "") in DEFAULT_DOMAINS]
    return sum([_replace(graph, node, outputs) for node in scans])


def _replace(graph: gs.Graph, node: gs.Node, outputs: set[str]) -> bool:
    body, x, states = node.attrs["body"], node.inputs[-1], len(node.inputs) - 1
    ways = {tuple(node.attrs.get(f"scan_{side}_directions") or [0]) for side in ("input", "output")}
    axes = [axis for side in ("input", "output") for axis in node.attrs.get(f"scan_{side}_axes") or []]
    plain = node.attrs.get("num_scan_inputs") == 1 and ways in ({(0,)}, {(1,)}) and not any(axes)
    if not plain or states not in (1, 2) or not all(is_zero(it) for it in node.inputs[:states]):
        return False
    sizes = [size for it in body.inputs if (size := _channels(it))]
    fits = len(sizes) == len(body.inputs) == states + 1 and x.shape is not None and len(x.shape) == 3
    if not fits or len(body.outputs) > states + 1 or len(body.nodes) > MAX_NODES:
        return False
    for state in range(states):
        cell = find_cell(body, state, sizes)
        others = [it for place, it in enumerate(node.outputs[:states]) if place != state]
        if cell is not None and not any(it.outputs or it.name in outputs for it in others):
            _put(graph, node, cell, state, DIRECTIONS[ways.pop()[0]])
            return True
    return False


def _channels(tensor: gs.Tensor) -> int:
    """Return the length of the last of two axes, or 0 where it is not known."""
    size = tensor.shape[-1] if tensor.shape is not None and len(tensor.shape) == 2 else 0
    return size if isinstance(size, int) and size <= MAX_CHANNELS else 0


def _put(graph: gs.Graph, node: gs.Node, cell: Cell, state: int, way: str) -> None:
    x, size, inputs = node.inputs[-1], len(cell.state_bias), _channels(node.attrs["body"].inputs[-1])
    weights = [_rows(cell, name, count) for name, count in (("x", inputs), ("h", size))]
    own = np.zeros((len(cell.gates), size))
    own[-1] = cell.state_bias
    given = np.stack([gate.bias for gate in cell.gates]) - own
    weights.append(np.concatenate([given.reshape(-1), own.reshape(-1)]))
    constants = [
        gs.Constant(f"{node.name}.{label}", values[None].astype(np.float32))
        for label, values in zip(("weight", "hidden", "bias"), weights, strict=True)
    ]
    sequence = gs.Variable(f"{node.name}.states", np.float32, [x.shape[0], 1, x.shape[1], size])
    last = gs.Variable(f"{node.name}.last", np.float32, [1, x.shape[1], size])
    final, states = node.outputs[state], node.outputs[len(node.inputs) - 1 :]
    node.inputs.clear()
    node.outputs.clear()
    attrs = {"hidden_size": size, "direction": way, **cell.attrs}
    graph.nodes.append(gs.Node(cell.op, f"{node.name}.cell", attrs, [x, *constants], [sequence, last]))
    _reshape(graph, last, [-1, size], final)
    for result in states:
        _reshape(graph, sequence, [0, -1, size], result)


def _rows(cell: Cell, operand: str, size: int) -> np.ndarray:
    """Return the weight of an operand: all gates of the cell, (gates * hidden, size)."""
    none = np.zeros((size, len(cell.state_bias)))
    return np.concatenate([gate.parts.get(operand, none).T for gate in cell.gates])


def _reshape(graph: gs.Graph, source: gs.Variable, shape: list[int], result: gs.Variable) -> None:
    target = gs.Constant(f"{result.name}.shape", np.array(shape, np.int64))
    graph.nodes.append(gs.Node("Reshape", f"{result.name}.reshape", {}, [source, target], [result]))
