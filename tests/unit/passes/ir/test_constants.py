"""Constants that a plan keeps: written, read back, applied, and refused where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from passes.errors import PlanError
from passes.ir.codes import codes_bytes
from passes.ir.constants import apply_constants, constants_of
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import QuantPlan
from passes.ir.plan_file import read_plan, write_plan

VALUES = np.array([[0.5, -2.0], [1e-30, 3.0]], np.float32)


@pytest.fixture
def model() -> Model:
    """One product."""
    return model_from_text(
        """<ir_version: 8, opset_import: ["" : 13]> net (float[N,2] x) => (float[N,2] y)
        <float[2,2] w = {1.0, 2.0, 3.0, 4.0}> { [layer] y = MatMul(x, w) }"""
    )


def test_a_plan_with_constants_is_read_back(tmp_path: Path) -> None:
    plan = QuantPlan(constants={"w": VALUES, "b": VALUES[0]})
    write_plan(plan, tmp_path / "plan.json", "abc", "generic")
    found = read_plan(tmp_path / "plan.json", "abc")
    assert found == plan
    assert found != QuantPlan(constants={"w": VALUES, "b": VALUES[1]})
    assert found != QuantPlan(constants={"w": VALUES})
    assert found.constants["w"].dtype == np.float32


def test_a_plan_without_its_constants_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_plan(QuantPlan(constants={"w": VALUES}), path, "abc", "generic")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["constants"] == ["w"]
    del document["codes_sha256"]
    path.write_text(json.dumps(document), encoding="utf-8")
    # Without the digest codes are not those of the plan any more, but constants still are.
    assert read_plan(path, "abc").constants.keys() == {"w"}
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(PlanError, match="needs this file beside it"):
        read_plan(path, "abc")


@pytest.mark.parametrize("listed", [[], ["v"], 7, None])
def test_a_list_of_constants_that_lies_is_refused(tmp_path: Path, listed: object) -> None:
    path = tmp_path / "plan.json"
    write_plan(QuantPlan(constants={"w": VALUES}), path, "abc", "generic")
    document = json.loads(path.read_text(encoding="utf-8")) | {"constants": listed}
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(PlanError, match="needs values of constants"):
        read_plan(path, "abc")


def test_names_that_collide_are_refused() -> None:
    with pytest.raises(PlanError, match="rename them"):
        codes_bytes({"w.constant": np.zeros(2, np.int8)}, {"w": VALUES})


def test_constants_are_applied_and_taken(model: Model) -> None:
    apply_constants(model.graph, {"w": VALUES})
    np.testing.assert_array_equal(model.graph.tensors()["w"].values, VALUES)
    kept = constants_of(model.graph, {"w"})
    np.testing.assert_array_equal(kept["w"], VALUES)
    with pytest.raises(ValueError, match="read-only"):
        kept["w"][0] = 1


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("v", VALUES, "constant 'v', which the prepared model does not have"),
        ("x", VALUES, "constant 'x', which the prepared model does not have"),
        ("w", VALUES[0], r"shape \(2,\) for 'w', the model has float32 of shape \(2, 2\)"),
        ("w", VALUES * np.float32(np.nan), "'w' that are NaN or infinite"),
    ],
)
def test_constants_that_do_not_fit_are_refused(model: Model, name: str, values, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        apply_constants(model.graph, {name: values})
