"""What ``qtool inspect`` finds in models made for it."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import parser

from qtool.inspect import inspect_model

HEADER = '<ir_version: 8, opset_import: ["": 17]>'


def saved(folder: Path, graph: str) -> Path:
    onnx.save(parser.parse_model(HEADER + graph), folder / "m.onnx")
    return folder / "m.onnx"


def test_work_and_parameters_are_counted(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        """
        g (float[N, 2, 5, 5] x) => (float[N, 1, 3, 3] y)
        <float[1, 2, 3, 3] w = {1,1,1, 1,1,1, 1,1,1, 1,1,1, 1,1,1, 1,1,1}, float[1] b = {0}>
        { y = Conv(x, w, b) }
        """,
    )
    found = inspect_model(path)
    assert found["layers"][0] | {"name": ""} == {
        "name": "",
        "op": "Conv",
        "weight": "1x2x3x3",
        "macs": 2 * 9 * 9,
        "parameters": 19,
    }
    assert (found["macs"], found["parameters"], found["opset"]) == (162, 19, 17)
    assert found["operators"] == [{"operator": "Conv", "count": 1}]
    assert found["inputs"] == [{"name": "x", "shape": "N,2,5,5", "type": "float32"}]


def test_what_stays_float_is_named_with_its_reason(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        """
        g (float[N, 2] x, float[2, 3] w) => (float[N, 3] y)
        { z = Gemm(x, w)  y = Erf(z) }
        """,
    )
    found = inspect_model(path)
    assert found["layers"] == []
    reasons = {entry["op"]: entry["reason"] for entry in found["unquantized"]}
    assert reasons["Gemm"] == "its weights are computed at run time"
    assert reasons["Erf"] == "Erf has no integer form"
