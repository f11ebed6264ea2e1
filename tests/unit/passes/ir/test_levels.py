"""Tables in a plan: kept by its files, decoded, priced, refused where strange."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwmodels import Precision, Workload, load_target
from passes.errors import PlanError, UsageError
from passes.ir.layers import Layer, find_layers
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import QuantPlan, Role, TensorQuant
from passes.ir.plan_file import read_plan, write_plan
from passes.ir.tables import may_have_levels, with_free_levels
from passes.ir.weights import quantized_weight, rounded_weight
from passes.ir.widened_workload import planned_workload, tabled_workload
from passes.numerics import IntFormat, PerChannel, PerGroup, QuantParams, QuantSpec

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[1,3] x) => (float[1,2] y)
<float[3,2] w = {1.0, 2.0, 3.0, 4.0, -5.0, 6.0}> { [layer] y = MatMul(x, w) }
"""
SPEC = QuantSpec(IntFormat(8), PerChannel(1))
PARAMS = QuantParams(np.array([0.25, 0.5], np.float32), np.zeros(2, np.int32))
LEVELS = (-20, 3, 11)
CODES = np.array([[3, 3], [11, 11], [-20, 3]], np.int8)


def tabled(codes: np.ndarray | None = CODES) -> TensorQuant:
    return TensorQuant(Role.WEIGHT, SPEC, PARAMS, codes, levels=LEVELS)


def a_layer() -> Layer:
    return find_layers(model_from_text(TEXT).graph)[0][0]


def test_codes_are_levels() -> None:
    np.testing.assert_array_equal(rounded_weight(a_layer(), tabled()), CODES * np.float32([0.25, 0.5]))
    assert tabled().stored_bits == 2
    assert replace(tabled(), levels=None).stored_bits == 8


def test_without_codes_the_nearest_levels_are_taken() -> None:
    found = quantized_weight(a_layer(), tabled(None))
    np.testing.assert_array_equal(found, [[3, 3], [11, 11], [-20, 11]])
    assert found.dtype == np.int8


def test_new_scales_take_codes_away_and_keep_the_table() -> None:
    plain = tabled().with_params(PARAMS)
    assert (plain.codes, plain.levels) == (None, LEVELS)


def test_files_keep_them(tmp_path: Path) -> None:
    plan = QuantPlan(tensors={"w": tabled()})
    write_plan(plan, tmp_path / "plan.json", "abc", "generic")
    assert read_plan(tmp_path / "plan.json", "abc") == plan
    assert plan != QuantPlan(tensors={"w": replace(tabled(), levels=(-20, 3, 11, 12))})


@pytest.mark.parametrize(
    "levels", [[3, 2], [1, 1], [0, "x"], 3, [], [4], [0, 300], list(range(-128, 128)), [0, None]]
)
def test_a_file_with_strange_levels_is_refused(levels: object) -> None:
    document = QuantPlan(tensors={"w": tabled()}).to_json("abc", "generic")
    document["tensors"]["w"]["levels"] = levels
    with pytest.raises(PlanError, match="missing or malformed"):
        QuantPlan.from_json(document, "abc")


def test_a_file_whose_codes_are_no_levels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_plan(QuantPlan(tensors={"w": tabled()}), path, "abc", "generic")
    path.write_text(path.read_text(encoding="utf-8").replace("-20,", "-21,"), encoding="utf-8")
    with pytest.raises(PlanError, match="codes out of the table"):
        read_plan(path, "abc")


@pytest.mark.parametrize(
    "change",
    [
        {"params": None, "codes": None},
        {"spec": replace(SPEC, format=IntFormat(4)), "codes": None},
        {"spec": replace(SPEC, format=IntFormat(8, signed=False)), "codes": None},
        {"spec": replace(SPEC, granularity=PerGroup(0, 16)), "codes": None},
        {"params": QuantParams(PARAMS.scale, np.ones(2, np.int32))},
        {"role": Role.ACT, "codes": None},
    ],
)
def test_what_cannot_have_levels_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="levels need a weight"):
        replace(tabled(), **change)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="codes out of the table"):
        replace(tabled(), codes=CODES + np.int8(1))


def test_uniform_integers_of_few_bits_become_levels() -> None:
    values = a_layer().weight_values()
    uniform = TensorQuant(
        Role.WEIGHT, replace(SPEC, format=IntFormat(2)), QuantParams(PARAMS.scale * 8, PARAMS.zero_point)
    )
    found = with_free_levels(values, uniform, np.zeros(2))
    assert found.levels is not None
    assert (found.spec, len(found.levels), found.stored_bits) == (SPEC, 4, 2)
    errors = [np.square(rounded_weight(a_layer(), it) - values).sum() for it in (found, uniform)]
    assert errors[0] < 0.5 * errors[1]
    assert with_free_levels(values, tabled(), np.zeros(2)) == tabled()
    assert not may_have_levels(tabled())


def test_bytes_are_those_of_indices_and_tables() -> None:
    work = Workload.gemm("layer", 1, 3, 2)
    priced = planned_workload(work, [tabled()])
    assert (priced.index_bits, priced.table_bytes) == (2, 3)
    pair, target = Precision(8, 8), load_target("generic")
    cost = target.cost(priced, pair)
    assert cost.weight_bytes == priced.weight_bytes(pair) == 2 + 3
    assert cost.bops == target.cost(work, pair).bops == 6 * 64
    assert planned_workload(work, [replace(tabled(), levels=None)]) == work
    assert tabled_workload(work, 3).table_bytes == 8


def test_a_memory_of_containers_holds_levels() -> None:
    target = load_target("x86-avx2")
    work = Workload.gemm("layer", 1, 3, 2)
    assert target.cost(tabled_workload(work, 2), Precision(8, 8)).weight_bytes == 6
