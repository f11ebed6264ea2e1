"""``qtool lint``: findings for people and machines, exit codes, files that are no models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, parser
from typer.testing import Result

from passes.lint.rules import RULES

Cli = Callable[..., Result]
LOST_RELU = """
<ir_version: 10, opset_import: ["" : 21]>
net (float[4] x) => (float[4] y)
<float s = {0.5}, int4 z = {0}>
{
    r = Relu(x)
    q = QuantizeLinear(r, s, z)
    y = DequantizeLinear(q, s, z)
}
"""


@pytest.fixture
def lost_relu(tmp_path: Path) -> Path:
    """A model that ONNX Runtime gets wrong."""
    path = tmp_path / "relu.onnx"
    path.write_bytes(parser.parse_model(LOST_RELU).SerializeToString())
    return path


def test_findings_for_people(cli: Cli, lost_relu: Path) -> None:
    result = cli("lint", lost_relu, "--runtime", "onnxruntime==1.31.1")
    assert result.exit_code == 5
    lines = result.stdout.splitlines()
    assert lines[0] == "QT201 error: lost Relu"
    assert "  - Relu of r: r: Relu before QuantizeLinear to INT4" in lines
    assert lines[-1] == "onnxruntime 1.31, level default: errors: 1, warnings: 0, notes: 0"


def test_findings_for_machines(cli: Cli, lost_relu: Path) -> None:
    result = cli("lint", lost_relu, "--json")
    assert result.exit_code == 5
    document = json.loads(result.stdout)
    assert (document["schema_version"], document["errors"], document["level"]) == (1, 1, "default")
    (finding,) = document["findings"]
    rule = next(rule for rule in RULES if rule.code == "QT201")
    assert finding == {
        "code": "QT201",
        "severity": "error",
        "node": "Relu of r",
        "tensor": "r",
        "message": "Relu before QuantizeLinear to INT4",
        "title": rule.title,
        "explanation": rule.explanation,
        "fix": rule.fix,
    }


def test_levels_and_silence(cli: Cli, lost_relu: Path) -> None:
    assert cli("lint", lost_relu, "--level", "basic").exit_code == 0
    quiet = cli("lint", lost_relu, "--quiet")
    assert (quiet.exit_code, quiet.stdout) == (5, "")


@pytest.mark.parametrize(
    "words", [["--runtime", "1.3"], ["--runtime", "tensorrt==10"], ["--level", "extended"]]
)
def test_unknown_releases_and_levels(cli: Cli, lost_relu: Path, words: list[str]) -> None:
    result = cli("lint", lost_relu, *words)
    assert result.exit_code == 2
    assert words[0] in result.stderr


def test_a_model_of_a_newer_opset_is_a_finding_not_a_refusal(cli: Cli, tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 28)], ir_version=14)
    (tmp_path / "new.onnx").write_bytes(model.SerializeToString())
    result = cli("lint", tmp_path / "new.onnx", "--runtime", "1.31.1", "--json")
    assert result.exit_code == 5
    assert [it["code"] for it in json.loads(result.stdout)["findings"]] == ["QT101", "QT102"]


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x0a"], ids=["empty", "text", "no graph"])
def test_files_that_are_no_models(cli: Cli, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    result = cli("lint", path)
    assert result.exit_code == 3
    assert str(path) in result.stderr
    assert "Traceback" not in result.stderr


def test_weights_beside_the_file_are_not_needed(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    model = onnx.load(quickstart / "digits.onnx")
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="absent.bin")
    (tmp_path / "large.onnx").write_bytes(model.SerializeToString())
    assert cli("lint", tmp_path / "large.onnx").exit_code == 0


def test_what_quantize_writes_has_no_errors(
    cli: Cli, compiled: Path, quickstart: Path, tmp_path: Path
) -> None:
    words = ["--plan", compiled / "plan.json", "--to", "qdq,qcdq,matmulnbits", "-o", tmp_path]
    assert cli("lower", quickstart / "digits.onnx", *words, "--force").exit_code == 0
    files = sorted(tmp_path.glob("*.onnx"))
    assert len(files) == 3
    for file in files:
        result = cli("lint", file, "--json")
        assert result.exit_code == 0, result.stdout
        assert json.loads(result.stdout)["errors"] == 0
