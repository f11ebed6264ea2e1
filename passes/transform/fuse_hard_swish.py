"""The activations of MobileNetV3 in small operators: HardSigmoid (ONNX, opset 6) and HardSwish (opset 14).

``relu6(x + 3) / 6`` is HardSigmoid with a slope of a sixth, and HardSwish is ``x`` times that.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.kinds import node_kind
from passes.ir.ops import OpClass
from passes.lowering.attributes import clamp_bounds
from passes.transform.patterns import producer, reader, scalar

HARD_SIGMOID_OPSET, HARD_SWISH_OPSET = 6, 14
SLOPE, OFFSET = 1 / 6, 0.5
Ends = tuple[gs.Variable, gs.Variable]
"""What a function reads and what it writes."""


def find_hard_sigmoids(graph: gs.Graph) -> list[Ends]:
    """Return input and output of every ``relu6(x + 3) / 6``."""
    outputs = _names(graph)
    return _whole([(x, _sixth(ramp, outputs)) for x, ramp in _ramps(graph)])


def find_hard_swishes(graph: gs.Graph) -> list[Ends]:
    """Return input and output of every ``x * relu6(x + 3) / 6``, and ``x`` times that HardSigmoid."""
    outputs = _names(graph)
    spelled = [(x, _sixth(_times(ramp, x, outputs), outputs)) for x, ramp in _ramps(graph)]
    sigmoids = [node for node in graph.nodes if node.op == "HardSigmoid" and _is_sixth(node)]
    products = [(node.inputs[0], _times(node.outputs[0], node.inputs[0], outputs)) for node in sigmoids]
    return _whole([*spelled, *products])


def fuse_hard_sigmoid(graph: gs.Graph, ends: Ends) -> None:
    """Put a HardSigmoid in place of the chain, which stays, unread, for a cleanup."""
    _put(graph, "HardSigmoid", {"alpha": SLOPE, "beta": OFFSET}, ends)


def fuse_hard_swish(graph: gs.Graph, ends: Ends) -> None:
    """Put a HardSwish in place of the chain. The graph must be of opset 14 or later."""
    _put(graph, "HardSwish", {}, ends)


def _put(graph: gs.Graph, op: str, attrs: dict[str, float], ends: Ends) -> None:
    x, result = ends
    name = f"{result.inputs[0].name}.{op.lower()}"
    result.inputs.clear()
    graph.nodes.append(gs.Node(op, name, attrs, [x], [result]))


def _names(graph: gs.Graph) -> set[str]:
    return {tensor.name for tensor in graph.outputs}


def _whole(found: list[tuple[gs.Variable, gs.Variable | None]]) -> list[Ends]:
    return [(x, result) for x, result in found if result is not None]


def _ramps(graph: gs.Graph) -> list[Ends]:
    """Return ``x`` and result of every ``relu6(x + 3)``."""
    found = []
    for node in graph.nodes:
        if node.op != "Clip" or node_kind(node) is not OpClass.CLAMP or clamp_bounds(node) != (0.0, 6.0):
            continue
        shifted = producer(node.inputs[0], "Add")
        operand = None if shifted is None or scalar(shifted) != 3.0 else _variable(shifted)
        # ONNX Runtime has no HardSigmoid in double precision.
        if operand is not None and operand.dtype != np.float64:
            found.append((operand, node.outputs[0]))
    return found


def _sixth(tensor: gs.Variable | None, outputs: set[str]) -> gs.Variable | None:
    """Return a sixth of a tensor that nothing else reads."""
    if tensor is None or tensor.name in outputs:
        return None
    division, product = reader(tensor, "Div"), reader(tensor, "Mul")
    if division is not None and division.inputs[0] is tensor and scalar(division) == 6.0:
        return division.outputs[0]
    factor = None if product is None else scalar(product)
    close = product is not None and factor is not None and bool(np.isclose(factor, SLOPE, rtol=1e-5))
    return product.outputs[0] if close and product is not None else None


def _times(tensor: gs.Variable, x: gs.Variable, outputs: set[str]) -> gs.Variable | None:
    """Return the product of a tensor that nothing else reads with `x`."""
    product = None if tensor.name in outputs else reader(tensor, "Mul")
    both = product is not None and {it.name for it in product.inputs} == {tensor.name, x.name}
    return product.outputs[0] if product is not None and both else None


def _is_sixth(node: gs.Node) -> bool:
    """Tell whether a HardSigmoid has the slope and the offset; its defaults are others."""
    alpha, beta = node.attrs.get("alpha", 0.2), node.attrs.get("beta", 0.5)
    return bool(np.isclose(alpha, SLOPE, rtol=1e-5) and np.isclose(beta, OFFSET, rtol=1e-5))


def _variable(node: gs.Node) -> gs.Variable | None:
    found = [tensor for tensor in node.inputs if isinstance(tensor, gs.Variable)]
    return found[0] if len(found) == 1 else None
