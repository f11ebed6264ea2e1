"""A Loop of a known number of steps, whose body multiplies by no weights, is its body once for every step.

The condition must hold from beginning to end: given as true or left out, and handed on by the body as it
came, or true (ONNX Loop, opsets 1 to 23).
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.ops import DEFAULT_DOMAINS
from passes.transform.patterns import producer
from passes.transform.unrolling import Unrolling, can_be_written_out

STATE = 2
"""Inputs of a Loop and of its body in front of the states: trips or trip, and condition."""


def unroll_loops(graph: gs.Graph) -> int:
    """Write out every such Loop; return how many.

    Args:
        graph: changed in place; replaced nodes stay, unread, for a cleanup. New tensors have no shapes yet.
    """
    unrolled = 0
    for node in list(graph.nodes):
        trips = _trips(node) if node.op == "Loop" and (node.domain or "") in DEFAULT_DOMAINS else 0
        if trips:
            _write(Unrolling(graph, node), trips)
            unrolled += 1
    return unrolled


def _trips(node: gs.Node) -> int:
    """Return the number of steps of a Loop that can be written out; 0 for any other."""
    body, trips = node.attrs.get("body"), _constant(node.inputs[0])
    if body is None or not isinstance(trips, int) or isinstance(trips, bool):
        return 0
    states = len(node.inputs) - STATE
    fits = len(body.inputs) == len(node.inputs) and len(body.outputs) - 1 == len(node.outputs) >= states
    goes_on = not node.inputs[1].name or _is_true(node.inputs[1])
    if not (fits and goes_on and _hands_on(body)):
        return 0
    return trips if can_be_written_out(body, trips) else 0


def _hands_on(body: gs.Graph) -> bool:
    """Tell whether the condition that a body writes is the one that it read, or true."""
    condition = body.outputs[0]
    while (copy := producer(condition, "Identity")) is not None:
        condition = copy.inputs[0]
    return condition is body.inputs[1] or _is_true(condition)


def _is_true(tensor: gs.Tensor) -> bool:
    return _constant(tensor) is True


def _constant(tensor: gs.Tensor) -> object:
    """Return a single number or truth value, also of a Constant that was not folded."""
    node = producer(tensor, "Constant")
    tensor = tensor if node is None else node.attrs.get("value")
    values = tensor.values if isinstance(tensor, gs.Constant) else np.zeros(0)
    return values.item() if values.size == 1 else None


def _write(unrolling: Unrolling, trips: int) -> None:
    """Append all steps, and what joins their results."""
    name, states = unrolling.node.name, unrolling.inputs[STATE:]
    count, goes_on = len(states), gs.Constant(f"{name}.goes_on", np.array(True))
    rows: list[list[gs.Tensor]] = []
    for step in range(trips):
        at = gs.Constant(f"{name}.{step}.trip", np.array(step, np.int64))
        made = unrolling.step(step, [at, goes_on, *states])[1:]
        states, row = made[:count], made[count:]
        rows.append(row)
    for place, result in enumerate(unrolling.results[count:]):
        unrolling.join([row[place] for row in rows], 0, result)
    unrolling.end(states)
