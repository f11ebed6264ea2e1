"""Recurrent nodes in one spelling compute what they computed before."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper, parser

from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.layers import find_layers
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto, to_proto
from passes.transform.canonicalize import Canonicalize

TIME, INPUTS, HIDDEN = 6, 3, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
NETWORK = """
<ir_version: 8, opset_import: ["" : 14]>
net (float[6,N,3] x) => ({results})
<int64[1] count = {{{count}}}, int64[1] hidden = {{4}}, int64[1] second = {{1}}>
{{
    shape = Shape(x)
    batch = Gather(shape, second)
    extents = Concat<axis = 0>(count, batch, hidden)
    zeros = ConstantOfShape(extents)
    [cell] {results_of_cell} = {op} <hidden_size = 4, direction = "{direction}"> ({inputs})
}}
"""


def build(op: str, direction: str, results: str, inputs: str = "x, w, r, b") -> Model:
    """A network of one node whose zeros, for the initial state, are of a size known at run time only."""
    count, rows = 2 if direction == "bidirectional" else 1, GATES[op] * HIDDEN
    read = ", ".join(f"float[] {name.strip()}" for name in results.split(",") if name.strip())
    proto = parser.parse_model(
        NETWORK.format(
            results=read, results_of_cell=results, count=count, op=op, direction=direction, inputs=inputs
        )
    )
    rng = np.random.default_rng(0)
    shapes = {"w": (rows, INPUTS), "r": (rows, HIDDEN), "b": (2 * rows,), "ones": (2, HIDDEN)}
    for name, shape in shapes.items():
        values = rng.normal(size=(count, *shape)).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(values, name))
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    return model_from_proto(proto, "net", "0")


def outputs(model: Model) -> list[np.ndarray]:
    names = [tensor.name for tensor in model.graph.outputs]
    x = np.random.default_rng(1).normal(size=(TIME, 2, INPUTS)).astype(np.float32)
    return Session(to_proto(model), Level.BASIC, 1).run({"x": x}, names)


@pytest.mark.parametrize("results", ["y", "y, h", ", h"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", GATES)
def test_directions_and_last_states(ctx: PassContext, op: str, direction: str, results: str) -> None:
    state = "x, w, r, b, , zeros" + (", zeros" if op == "LSTM" else "")
    before, model = outputs(build(op, direction, results, state)), build(op, direction, results, state)
    Canonicalize().run(model, ctx)
    for found, wanted in zip(outputs(model), before, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    layers, refused = find_layers(model.graph)
    assert refused == ()
    ways = ["forward", "reverse"] if direction == "bidirectional" else [direction]
    assert [layer.node.attrs["direction"] for layer in layers] == ways


def test_a_node_in_the_right_form_is_left_alone(ctx: PassContext) -> None:
    model = build("GRU", "reverse", "y")
    Canonicalize().run(model, ctx)
    assert [node.name for node in model.graph.nodes] == ["cell"]


@pytest.mark.parametrize(
    ("op", "results", "inputs", "reason"),
    [
        ("LSTM", "y, h, c", "x, w, r, b", "last cell state is read"),
        ("GRU", "y, h", "x, w, r, b, , ones", "initial state is not zero"),
    ],
)
def test_what_has_no_integer_form_keeps_its_form(
    ctx: PassContext, op: str, results: str, inputs: str, reason: str
) -> None:
    model = build(op, "bidirectional", results, inputs)
    Canonicalize().run(model, ctx)
    (refused,) = find_layers(model.graph)[1]
    assert (refused.name, reason in refused.reason) == ("cell", True)
