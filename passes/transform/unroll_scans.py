"""A Scan over few steps, whose body multiplies by no weights, is its body once for every step.

Simple recurrent units export so: their products are made for all steps before, and a step works element by
element. Written out, that has an integer form (ONNX Scan, opsets 9 to 23).
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.ops import DEFAULT_DOMAINS
from passes.transform.unrolling import Unrolling, can_be_written_out


def unroll_scans(graph: gs.Graph) -> int:
    """Write out every such Scan; return how many.

    Args:
        graph: changed in place; replaced nodes stay, unread, for a cleanup. New tensors have no shapes yet.
    """
    unrolled = 0
    for node in list(graph.nodes):
        steps = _steps(node) if node.op == "Scan" and (node.domain or "") in DEFAULT_DOMAINS else 0
        if steps:
            _write(Unrolling(graph, node), steps)
            unrolled += 1
    return unrolled


def _steps(node: gs.Node) -> int:
    """Return the number of steps of a Scan that can be written out; 0 for any other."""
    count = int(node.attrs.get("num_scan_inputs", 0))
    if not 0 < count <= len(node.inputs) or "body" not in node.attrs:
        return 0
    body, x = node.attrs["body"], node.inputs[-1]
    axis = (node.attrs.get("scan_input_axes") or [0])[-1]
    steps = x.shape[axis] if x.shape is not None and -len(x.shape) <= axis < len(x.shape) else 0
    fits = len(body.inputs) == len(node.inputs) and len(body.outputs) == len(node.outputs)
    return steps if fits and isinstance(steps, int) and can_be_written_out(body, steps) else 0


def _write(unrolling: Unrolling, steps: int) -> None:
    """Append all steps, and what joins their results."""
    node, inputs = unrolling.node, unrolling.inputs
    count = len(inputs) - int(node.attrs["num_scan_inputs"])
    states, sequences = inputs[:count], inputs[count:]
    rows: list[list[gs.Tensor]] = []
    for step in range(steps):
        taken = [
            _take(unrolling, x, place, steps - 1 - step if _way(node, "input", place) else step)
            for place, x in enumerate(sequences)
        ]
        made = unrolling.step(step, [*states, *taken])
        states, row = made[:count], made[count:]
        rows.append(row)
    for place, result in enumerate(unrolling.results[count:]):
        parts = [row[place] for row in rows]
        axis = _axis(node, "output", place)
        unrolling.join(parts[::-1] if _way(node, "output", place) else parts, axis, result)
    unrolling.end(states)


def _take(unrolling: Unrolling, x: gs.Tensor, place: int, at: int) -> gs.Variable:
    """Append a Gather of one step of a sequence."""
    name = f"{unrolling.node.name}.{place}.{at}"
    index = gs.Constant(f"{name}.index", np.array(at, np.int64))
    result = gs.Variable(f"{name}.taken", x.dtype)
    axis = _axis(unrolling.node, "input", place)
    unrolling.append("Gather", f"{name}.take", {"axis": axis}, [x, index], result)
    return result


def _axis(node: gs.Node, side: str, place: int) -> int:
    axes = node.attrs.get(f"scan_{side}_axes")
    return int(axes[place]) if axes else 0


def _way(node: gs.Node, side: str, place: int) -> bool:
    ways = node.attrs.get(f"scan_{side}_directions")
    return bool(ways[place]) if ways else False
