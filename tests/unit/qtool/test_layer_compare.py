"""What `compare_layers` finds inside two forms of one network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passes.artifact import Artifact
from passes.errors import PlanError
from passes.execution.dataset import Dataset, graph_inputs, open_dataset
from passes.ir.onnx_io import read_model
from qtool.layer_compare import compare_layers
from qtool.quantization import run_quantize
from qtool.request import QuantizeRequest


@pytest.fixture(scope="module")
def folder(quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample network quantized to 4 bits, its channels equalized on the way."""
    out = tmp_path_factory.mktemp("compare") / "out"
    request = QuantizeRequest(
        model=quickstart / "digits.onnx",
        out=out,
        calib=str(quickstart / "digits_calib.npz"),
        target="generic",
        bits=(4,),
        samples=16,
    )
    run_quantize(request, lambda stage, done, total: None)
    return out


@pytest.fixture(scope="module")
def data(quickstart: Path) -> Dataset:
    inputs = graph_inputs(read_model(quickstart / "digits.onnx").graph)
    return open_dataset(str(quickstart / "digits_eval.npz"), inputs, None, 16)


def test_steps_agree_with_the_file_s_arithmetic_and_almost_with_integer_kernels(
    folder: Path, data: Dataset
) -> None:
    document = compare_layers(folder / "model.qdq.onnx", folder / "model.qpk", data, 1)
    assert document["first_divergence"] is None
    assert all(row["lsb_0"] == 1 and row["max_lsb"] == 0 for row in document["layers"])
    # QLinearAdd adds the zero point before it rounds, so that ties fall the other way: docs/rounding.md.
    assert document["first_divergence_default"] == "residual.add"
    assert all(row["lsb_0"] > 0.99 and row["max_lsb"] <= 1 for row in document["layers_default"])
    steps = [step.name for step in Artifact.load(folder / "model.qpk").steps]
    assert [row["name"] for row in document["layers"]] == steps
    assert [row["name"] for row in document["layers_default"]] == steps


def test_a_wrong_bias_is_placed_and_counted(folder: Path, data: Dataset, tmp_path: Path) -> None:
    artifact = Artifact.load(folder / "model.qpk")
    index, step = next((i, step) for i, step in enumerate(artifact.steps) if step.name == "pointwise.conv")
    assert step.bias is not None
    worse = replace(step, bias=step.bias + 10_000)
    steps = (*artifact.steps[:index], worse, *artifact.steps[index + 1 :])
    replace(artifact, steps=steps).save(tmp_path / "wrong.qpk")
    document = compare_layers(folder / "model.qdq.onnx", tmp_path / "wrong.qpk", data, 1)
    assert document["first_divergence"] == document["first_divergence_default"] == "pointwise.conv"
    wrong = [row for row in document["layers"] if row["max_lsb"]]
    assert [row["name"] for row in wrong] == ["pointwise.conv"]
    assert sum(wrong[0][key] for key in ("lsb_0", "lsb_1", "lsb_2", "lsb_3_or_more")) == pytest.approx(1)
    assert wrong[0]["lsb_3_or_more"] > 0


@pytest.mark.parametrize("form", ["model.qdq.onnx", "model.qpk"])
def test_a_float_model_is_prepared_as_the_plan_says(
    folder: Path, quickstart: Path, data: Dataset, tmp_path: Path, form: str
) -> None:
    """Equalization changes the scale of channels: without it such a tensor looks noisy."""
    with_plan = compare_layers(quickstart / "digits.onnx", folder / form, data, 1)
    (tmp_path / form).write_bytes((folder / form).read_bytes())
    without = compare_layers(quickstart / "digits.onnx", tmp_path / form, data, 1)
    assert (with_plan["prepared"], without["prepared"]) == (True, False)
    assert stem(with_plan) > stem(without) + 10
    last = [document["layers"][-1] for document in (with_plan, without)]
    assert last[0]["sqnr_db"] == pytest.approx(last[1]["sqnr_db"], abs=0.5)


def stem(document: dict[str, Any]) -> float:
    return float(next(row["sqnr_db"] for row in document["layers"] if row["name"] == "stem.relu"))


def test_a_plan_for_another_model_is_refused(
    folder: Path, quickstart: Path, data: Dataset, tmp_path: Path
) -> None:
    for name in ("model.qpk", "plan.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    text = (tmp_path / "plan.json").read_text(encoding="utf-8")
    digest = read_model(quickstart / "digits.onnx").sha256
    (tmp_path / "plan.json").write_text(text.replace(digest, "0" * 64), encoding="utf-8")
    with pytest.raises(PlanError, match="is for the model"):
        compare_layers(quickstart / "digits.onnx", tmp_path / "model.qpk", data, 1)


def test_a_form_equals_itself(folder: Path, data: Dataset) -> None:
    for name in ("model.qpk", "model.qdq.onnx"):
        document = compare_layers(folder / name, folder / name, data, 1)
        assert document["first_divergence"] is None
        assert np.allclose([row["cosine"] for row in document["layers"]], 1)
