"""Scans of few steps are written out and compute the same; others stay."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto, to_proto
from passes.ir.setup import quantizer_setup
from passes.transform.canonicalize import Canonicalize

TIME, BATCH, SIZE = 5, 2, 3
CELL = "p = Mul(c, v) a = Add(f, p) g = Sigmoid(a) d = Sub(c, u) k = Mul(g, d) c1 = Add(u, k) h = Mul(g, c1)"


def build(
    text: str = CELL,
    *,
    steps: int | str = TIME,
    opset: int = 18,
    ways: tuple[int, int, int] = (0, 0, 0),
    axes: tuple[int, int, int] = (0, 0, 0),
    start: float = 0.0,
) -> Model:
    """A Scan over two sequences, with a state, of which the last state and a sequence are results."""
    header = f'<ir_version: 8, opset_import: ["" : {opset}]>'
    body = parser.parse_model(f"{header} cell (float[{BATCH},{SIZE}] c) => (float[] h) {{ {text} }}").graph
    del body.input[:], body.output[:]
    body.input.extend(helper.make_tensor_value_info(it, 1, None) for it in ("c", "u", "f"))
    body.output.extend(helper.make_tensor_value_info(it, 1, None) for it in ("c1", "h"))
    body.initializer.append(numpy_helper.from_array(np.full((SIZE, SIZE), 0.1, np.float32), "w"))
    scan = helper.make_node(
        "Scan", ["state", "xu", "xf"], ["last", "out"], name="scan", num_scan_inputs=2, body=body,
        scan_input_directions=ways[:2], scan_output_directions=ways[2:],
        scan_input_axes=axes[:2], scan_output_axes=axes[2:],
    )  # fmt: skip
    inputs = []
    for name, axis in zip(("xu", "xf"), axes, strict=False):
        shape: list[int | str] = ["N", SIZE]
        shape.insert(axis, steps)
        inputs.append(helper.make_tensor_value_info(name, 1, shape))
    fill = numpy_helper.from_array(np.array([start], np.float32))
    nodes = [
        helper.make_node("Shape", ["xu"], ["shape"], name="shape"),
        helper.make_node("Gather", ["shape", "batch_axis"], ["batch"], name="batch"),
        helper.make_node("Concat", ["batch", "size"], ["extents"], name="extents", axis=0),
        helper.make_node("ConstantOfShape", ["extents"], ["state"], name="state", value=fill),
        scan,
    ]
    numbers = {"batch_axis": [0 if axes[0] == 1 else 1], "size": [SIZE]}
    values = [numpy_helper.from_array(np.array(it, np.int64), name) for name, it in numbers.items()]
    values.append(numpy_helper.from_array(np.array([0.5, -1.5, 2.0], np.float32), "v"))
    outputs = [helper.make_tensor_value_info(name, 1, None) for name in ("out", "last")]
    graph = helper.make_graph(nodes, "net", inputs, outputs, values)
    opsets = [helper.make_opsetid("", opset)]
    return model_from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8), "net", "0")


def results(model: Model, axes: tuple[int, int, int] = (0, 0, 0)) -> list[np.ndarray]:
    rng, feeds = np.random.default_rng(1), {}
    for name, axis in zip(("xu", "xf"), axes, strict=False):
        shape = [BATCH, SIZE]
        shape.insert(axis, TIME)
        feeds[name] = rng.normal(size=shape).astype(np.float32)
    return Session(to_proto(model), Level.BASIC, 1).run(feeds, ["out", "last"])


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize("start", [0.0, 0.75])
@pytest.mark.parametrize(
    ("ways", "axes"),
    [((0, 0, 0), (0, 0, 0)), ((1, 1, 1), (1, 1, 1)), ((0, 1, 1), (0, 0, 1)), ((1, 0, 0), (1, 0, 0))],
)
def test_steps_written_out_compute_the_same(
    ctx: PassContext,
    opset: int,
    start: float,
    ways: tuple[int, int, int],
    axes: tuple[int, int, int],
) -> None:
    before = results(build(opset=opset, ways=ways, axes=axes, start=start), axes)
    model = build(opset=opset, ways=ways, axes=axes, start=start)
    Canonicalize().run(model, ctx)
    assert not any(node.op in ("Scan", "ConstantOfShape") for node in model.graph.nodes)
    for found, wanted in zip(results(model, axes), before, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_state_of_zeros_leaves_nothing_to_add_in_the_first_step(ctx: PassContext) -> None:
    model = build()
    Canonicalize().run(model, ctx)
    ops = [node.op for node in model.graph.nodes]
    # Of four Mul and two Add of a step, the first step has lost one each: those with the state of zeros.
    assert ops.count("Mul") == 3 * TIME - 1
    assert ops.count("Add") == 2 * TIME - 1
    assert ops.count("Sub") == TIME


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (CELL, "T"),
        (CELL, 4096),
        (CELL.replace("d = Sub(c, u)", "m = MatMul(c, w) d = Sub(m, u)"), TIME),
    ],
    ids=["open", "long", "weights"],
)
def test_other_scans_stay(ctx: PassContext, text: str, steps: int | str) -> None:
    model = build(text, steps=steps)
    Canonicalize().run(model, ctx)
    assert "Scan" in [node.op for node in model.graph.nodes]
    assert not quantizer_setup(model.graph).layers


def test_names_stay_unique(ctx: PassContext) -> None:
    model = build()
    Canonicalize().run(model, ctx)
    onnx.checker.check_model(to_proto(model), full_check=True)
    names = [node.name for node in model.graph.nodes]
    assert len(set(names)) == len(names)
