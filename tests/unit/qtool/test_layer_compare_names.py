"""Layers are compared under the names that tensors have in the model, whatever these are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from passes.execution.dataset import graph_inputs, open_dataset
from passes.ir.onnx_io import read_model
from qtool.layer_compare import compare_layers
from qtool.quantization import run_quantize
from qtool.request import QuantizeRequest


def test_a_tensor_that_has_a_name_of_lowering_is_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((8, 8)).astype(np.float32), name) for name in ("v", "w")
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["h"], name="first"),
        helper.make_node("Sigmoid", ["h"], ["h.dq"], name="between"),
        helper.make_node("MatMul", ["h.dq", "w"], ["y"], name="second"),
    ]
    x, y = (helper.make_tensor_value_info(name, 1, ["N", 8]) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "net", [x], [y], weights)
    model, samples = tmp_path / "net.onnx", str(tmp_path / "data.npz")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)
    np.savez(samples, x=rng.standard_normal((32, 8)).astype(np.float32))
    out = tmp_path / "out"
    run_quantize(QuantizeRequest(model=model, out=out, calib=samples, target="generic"), lambda *_: None)
    data = open_dataset(samples, graph_inputs(read_model(model).graph), None)
    for form in ("model.qdq.onnx", "model.qpk"):
        rows = compare_layers(model, out / form, data, 1)["layers"]
        assert [row["name"] for row in rows] == ["h", "h.dq", "y"]
        assert min(row["sqnr_db"] for row in rows) > 30
