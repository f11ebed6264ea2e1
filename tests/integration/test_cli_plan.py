"""``qtool plan``: a compilation goes out in every format and comes back the same; bad files are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import Result

from passes.artifact import Artifact
from passes.execution.session import Level, Session
from passes.ir.plan import LayerBits, QuantPlan

Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def forms(cli: Cli, compiled: Path, quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compilation in the forms that can be read back."""
    out = tmp_path_factory.mktemp("forms") / "out"
    words = ["--plan", compiled / "plan.json", "--to", "qdq,qcdq,qonnx,packed", "-o", out]
    result = cli("lower", quickstart / "digits.onnx", *words)
    assert result.exit_code == 0, result.output
    return out


def precisions(plan: Path) -> dict[str, str]:
    layers = json.loads(plan.read_text(encoding="utf-8"))["layers"]
    return {it["name"]: f"w{it['weight_bits']}a{it['act_bits']}" for it in layers}


def results(model: Path, quickstart: Path) -> np.ndarray:
    with np.load(quickstart / "digits_eval.npz") as data:
        values = next(data[name] for name in data if name != "labels")[:32].astype(np.float32)
    proto = onnx.load(model)
    return np.asarray(Session(proto, Level.BASIC, 1).run({proto.graph.input[0].name: values})[0])


@pytest.mark.parametrize("form", ["qdq", "qcdq", "qonnx"])
def test_every_form_comes_back(
    cli: Cli, compiled: Path, forms: Path, quickstart: Path, tmp_path: Path, form: str
) -> None:
    back, again = tmp_path / "back", tmp_path / "again"
    assert (
        cli("plan", "import", forms / f"model.{form}.onnx", "-o", back, "--target", "bitfusion").exit_code
        == 0
    )
    assert precisions(back / "plan.json") == precisions(compiled / "plan.json")
    words = ["--plan", back / "plan.json", "--to", "qdq,packed", "-o", again]
    assert cli("lower", back / "model.onnx", *words).exit_code == 0
    assert np.array_equal(
        results(again / "model.qdq.onnx", quickstart), results(forms / "model.qdq.onnx", quickstart)
    )
    first, second = (Artifact.load(folder / "model.qpk") for folder in (forms, again))
    assert [step.op for step in first.steps] == [step.op for step in second.steps]
    assert first.tensors == second.tensors


def test_the_plan_that_comes_back_is_the_plan(cli: Cli, compiled: Path, forms: Path, tmp_path: Path) -> None:
    assert cli("plan", "import", forms / "model.qdq.onnx", "-o", tmp_path / "back").exit_code == 0
    documents = [json.loads((it / "plan.json").read_text("utf-8")) for it in (compiled, tmp_path / "back")]
    first, second = (QuantPlan.from_json(it, it["model_sha256"]) for it in documents)
    assert all(isinstance(bits, LayerBits) for bits in second.layers.values())
    assert first.layers == second.layers
    assert first.tensors == second.tensors


@pytest.mark.parametrize("kind", ["aimet", "aimet-0.6.1", "ort-overrides"])
def test_encodings_go_out_and_come_back(
    cli: Cli, forms: Path, compiled: Path, quickstart: Path, tmp_path: Path, kind: str
) -> None:
    out, back, again = (tmp_path / name for name in ("out", "back", "again"))
    words = ["--plan", compiled / "plan.json", "--format", kind, "-o", out]
    assert cli("plan", "export", quickstart / "digits.onnx", *words).exit_code == 0
    file = out / ("overrides.json" if kind == "ort-overrides" else "model.encodings")
    words = ["--encodings", file, "--format", kind, "-o", back]
    assert cli("plan", "import", out / "model.onnx", *words).exit_code == 0
    words = ["--plan", back / "plan.json", "--to", "qdq", "-o", again]
    assert cli("lower", back / "model.onnx", *words).exit_code == 0
    assert np.array_equal(
        results(again / "model.qdq.onnx", quickstart), results(forms / "model.qdq.onnx", quickstart)
    )


BAD = {
    "not JSON": "{",
    "another version": '{"version": "9"}',
    "a tensor that is not there": '{"version": "1.0.0", "activation_encodings": [{"name": "nowhere", "bw": 8,'
    ' "scale": [1.0], "offset": [0]}]}',
    "nothing": '{"version": "1.0.0"}',
    "deep": "[" * 100000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_bad_encodings_are_refused(cli: Cli, quickstart: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.encodings"
    file.write_text(text, encoding="utf-8")
    result = cli("plan", "import", quickstart / "digits.onnx", "--encodings", file, "-o", tmp_path / "out")
    assert (result.exit_code, (tmp_path / "out").exists()) == (3, False), result.output
    assert "bug" not in result.stderr


def test_a_float_model_without_encodings_is_refused(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    result = cli("plan", "import", quickstart / "digits.onnx", "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "nothing in this model is quantized" in result.stderr


def test_an_unknown_format_is_a_usage_error(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    words = ["--format", "aimett", "-o", tmp_path / "out"]
    result = cli("plan", "import", quickstart / "digits.onnx", *words)
    assert result.exit_code == 2
    assert "did you mean aimet" in result.stderr
