"""Two models on the same data, from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from passes.errors import UsageError
from qtool.compare import CompareRequest, compare

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N,2] x) => (float[N,2] y, float[N,2] z)
<float[2] one = {{1.0, 1.0}}, float[2] two = {{{two}, 2.0}}>
{{
    [first] y = Mul(x, one)
    [second] z = Mul(y, two)
}}
"""
X = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A model, one whose second node differs, and data with labels."""
    for name, two in (("a", "2.0"), ("b", "2.5")):
        onnx.save(parser.parse_model(TEXT.format(two=two)), tmp_path / f"{name}.onnx")
    np.savez(tmp_path / "data.npz", x=X, labels=np.array([1, 0]))
    return tmp_path


def compared(folder: Path, b: str, *, metric: str | None = None, per_layer: bool = False) -> dict[str, Any]:
    request = CompareRequest(
        a=folder / "a.onnx",
        b=folder / b,
        data=str(folder / "data.npz"),
        metric=metric,
        per_layer=per_layer,
        workers=1,
    )
    return compare(request, lambda stage, done, total: None)


def test_a_model_equals_itself(files: Path) -> None:
    document = compared(files, "a.onnx")
    assert document["agreement"] == 1.0
    assert document["metric"] == {"name": "top1", "a": 1.0, "b": 1.0}
    assert [output["output"] for output in document["outputs"]] == ["y", "z"]
    assert {output["max_difference"] for output in document["outputs"]} == {0.0}


def test_differences_are_told_by_output(files: Path) -> None:
    first, second = compared(files, "b.onnx")["outputs"]
    assert first["max_difference"] == 0
    assert second["max_difference"] == pytest.approx(1.5)
    assert second["max_lsb"] == pytest.approx(1.5 / (6 / 255))
    assert second["sqnr_db"] == pytest.approx(10 * np.log10((4 + 16 + 36 + 4) / (0.25 + 2.25)))


def test_the_first_divergence_is_found(files: Path) -> None:
    document = compared(files, "b.onnx", per_layer=True)
    assert [layer["name"] for layer in document["layers"]] == ["y", "z"]
    assert document["first_divergence"] == "z"
    assert compared(files, "a.onnx", per_layer=True)["first_divergence"] is None


def test_models_with_different_outputs_cannot_be_compared(files: Path) -> None:
    text = TEXT.format(two="2.0").replace("float[N,2] y, float[N,2] z", "float[N,2] z")
    onnx.save(parser.parse_model(text), files / "c.onnx")
    with pytest.raises(UsageError, match="different outputs"):
        compared(files, "c.onnx")
