"""A Clip in front of QuantizeLinear becomes one on codes, or nothing, without changing a value."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from passes.execution.session import Level, Session
from passes.lowering.saturate import saturate_codes


def clipped(scale: float, zero: int, low: float | None, high: float | None) -> onnx.ModelProto:
    """Clip, QuantizeLinear to UINT8, DequantizeLinear."""
    params = {"s": np.float32(scale), "z": np.uint8(zero)}
    bounds = {name: np.float32(it) for name, it in (("lo", low), ("hi", high)) if it is not None}
    inputs = ["x", "lo" if low is not None else "", "hi" if high is not None else ""]
    nodes = [
        helper.make_node("Clip", inputs, ["c"], name="clip"),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["q"], name="quantize"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="dequantize"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [101]) for name in ("x", "y")]
    constants = [numpy_helper.from_array(np.asarray(it), name) for name, it in (params | bounds).items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("arguments", "operators"),
    [
        ((13 / 512, 0, 0.0, 6.0), ["QuantizeLinear", "Clip", "DequantizeLinear"]),
        ((6 / 256, 0, 0.0, 6.0), ["QuantizeLinear", "DequantizeLinear"]),
        ((13 / 512, 0, None, 6.0), ["QuantizeLinear", "Clip", "DequantizeLinear"]),
        ((1 / 16, 128, -3.0, None), ["QuantizeLinear", "Clip", "DequantizeLinear"]),
    ],
)
def test_values_stay(arguments: tuple[float, int, float, float], operators: list[str]) -> None:
    x = {"x": np.linspace(-9, 9, 101, dtype=np.float32)}
    before = Session(clipped(*arguments), Level.BASIC, 1).run(x)[0]
    moved = saturate_codes(clipped(*arguments))
    onnx.checker.check_model(moved)
    assert [node.op_type for node in moved.graph.node] == operators
    np.testing.assert_array_equal(Session(moved, Level.BASIC, 1).run(x)[0], before)


def test_a_clip_that_others_read_stays() -> None:
    proto = clipped(1 / 16, 0, 0.0, 6.0)
    proto.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [101]))
    assert saturate_codes(proto).graph.node[0].op_type == "Clip"
