"""``qtool lower`` on plans that were edited badly: refused in words, nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Edit = Callable[[dict[str, Any]], None]
Lower = Callable[[Edit], Result]


@pytest.fixture
def lower(cli: Callable[..., Result], compiled: Path, quickstart: Path, tmp_path: Path) -> Lower:
    """Lower the sample network by an edited plan."""

    def run(edit: Edit) -> Result:
        document = json.loads((compiled / "plan.json").read_text(encoding="utf-8"))
        edit(document)
        (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
        shutil.copy(compiled / "plan.safetensors", tmp_path)
        words = ["--plan", tmp_path / "plan.json", "--to", "qdq,qcdq,packed", "-o", tmp_path / "out"]
        return cli("lower", quickstart / "digits.onnx", *words)

    return run


def any_weight(document: dict[str, Any]) -> dict[str, Any]:
    return next(entry for entry in document["tensors"].values() if entry["role"] == "weight")


def any_act(document: dict[str, Any]) -> dict[str, Any]:
    return next(entry for entry in document["tensors"].values() if entry["role"] == "act")


EDITS: dict[str, Edit] = {
    "no tensors": lambda plan: plan.update(tensors={}),
    "a scale of zero": lambda plan: any_act(plan).update(scale=0.0),
    "a scale that is no number": lambda plan: any_act(plan).update(scale=float("nan")),
    "a scale too many": lambda plan: any_weight(plan)["scale"].append(1.0),
    "an axis that does not exist": lambda plan: any_weight(plan).update(axis=9),
    "bits that do not exist": lambda plan: any_weight(plan).update(bits=9),
    "a zero point out of range": lambda plan: any_act(plan).update(zero_point=10**6),
    "a bias too many": lambda plan: next(iter(plan["biases"].values())).append(0.0),
    "codes of another plan": lambda plan: plan.update(codes_sha256="0" * 64),
    "codes by no digest": lambda plan: plan.update(codes_sha256=7),
    "an unknown pass": lambda plan: plan.update(prepared="canonicalise"),
    "a newer schema": lambda plan: plan.update(schema_version=99),
    "layers of another kind": lambda plan: plan.update(layers=[1, 2]),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_damaged_plan_is_refused(lower: Lower, tmp_path: Path, edit: Edit) -> None:
    result = lower(edit)
    assert result.exit_code in (2, 3), result.output
    assert "Traceback" not in result.stderr
    assert "bug in qtool" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_edited_precision_is_lowered(lower: Lower, tmp_path: Path) -> None:
    def coarser(plan: dict[str, Any]) -> None:
        weight = any_weight(plan)
        weight["bits"] = 2
        weight["scale"] = [64 * scale for scale in weight["scale"]]
        del plan["codes_sha256"]

    before = lower(lambda plan: None)
    assert before.exit_code == 0, before.output
    size = (tmp_path / "out" / "model.qpk").stat().st_size
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    after = lower(coarser)
    assert after.exit_code == 0, after.output
    assert (tmp_path / "out" / "model.qpk").stat().st_size < size


def test_codes_do_not_outlive_a_change_of_bits(lower: Lower) -> None:
    def narrower(plan: dict[str, Any]) -> None:
        for entry in plan["tensors"].values():
            entry["bits"] = 1 if entry["role"] == "weight" else entry["bits"]

    result = lower(narrower)
    assert result.exit_code == 3
    assert "take codes_sha256 out of plan.json" in result.stderr
