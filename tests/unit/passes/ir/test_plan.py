"""plan.json: what is written is read back, and another model's or a damaged plan is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwmodels import Precision
from passes.errors import PlanError
from passes.ir.plan import LayerBits, QuantPlan, Role, TensorQuant
from passes.ir.plan_file import read_plan
from passes.numerics import IntFormat, PerChannel, PerTensor, QuantParams, QuantSpec

Edit = Callable[[dict[str, Any]], object]


def plan() -> QuantPlan:
    weight = QuantSpec(IntFormat(3, signed=True), PerChannel(1), symmetric=True)
    act = QuantSpec(IntFormat(8, signed=False), PerTensor(), symmetric=False)
    weight_params = QuantParams(np.float32([0.1, 1e-30]), np.int32([0, 0]))
    return QuantPlan(
        {"fc": LayerBits("Gemm", Precision(3, 8))},
        {
            "w": TensorQuant(Role.WEIGHT, weight, weight_params),
            "x": TensorQuant(Role.ACT, act, QuantParams(np.float32(0.25), np.int32(7))),
            "y": TensorQuant(Role.ACT, act),
        },
    )


def test_the_document() -> None:
    document = plan().to_json("abc", "bitfusion")
    assert (document["schema_version"], document["model_sha256"], document["target"]) == (
        1,
        "abc",
        "bitfusion",
    )
    assert document["layers"] == [{"name": "fc", "op": "Gemm", "weight_bits": 3, "act_bits": 8}]
    assert document["tensors"]["x"] == {
        "role": "act",
        "bits": 8,
        "signed": False,
        "narrow_range": False,
        "symmetric": False,
        "axis": None,
        "scale": 0.25,
        "zero_point": 7,
    }


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan().to_json("abc", "bitfusion")))
    assert read_plan(path, "abc") == plan()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.update(schema_version=2), "schema_version 1"),
        (lambda d: d.update(model_sha256="other"), "sha256 other, this model has abc"),
        (lambda d: d.pop("layers"), "missing or malformed"),
        (lambda d: d.update(layers=3), "missing or malformed"),
        (lambda d: d.update(tensors=[]), "missing or malformed"),
        (lambda d: d["layers"][0].update(weight_bits="x"), "missing or malformed"),
        (lambda d: d["layers"][0].update(weight_bits=0), "missing or malformed"),
        (lambda d: d["tensors"]["w"].update(bits=99), "missing or malformed"),
        (lambda d: d["tensors"]["w"].update(bits=1e400), "missing or malformed"),
        (lambda d: d["tensors"]["w"].update(role="other"), "missing or malformed"),
        (lambda d: d["tensors"]["w"].update(scale=[1.0]), "shapes|shape"),
        (lambda d: d["tensors"]["w"].update(scale=[1.0, -1.0]), "positive"),
        (lambda d: d["tensors"]["w"].update(scale=[1.0, float("nan")]), "scale|positive"),
        (lambda d: d["tensors"]["w"].pop("zero_point"), "missing or malformed"),
        (lambda d: d["tensors"].update(w=7), "missing or malformed"),
    ],
)
def test_a_damaged_plan_is_refused(edit: Edit, message: str) -> None:
    document = plan().to_json("abc", "bitfusion")
    edit(document)
    with pytest.raises(PlanError, match=message):
        QuantPlan.from_json(document, "abc", "plan.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_plan_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(PlanError, match=r"plan\.json"):
        read_plan(path, "abc")


def test_a_missing_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path / "absent.json", "abc")
