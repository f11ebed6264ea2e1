"""Points in a plan: kept by its files, split into scales and multipliers, priced, refused where strange."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwmodels import Workload, load_target
from passes.errors import PlanError, UsageError
from passes.ir.layers import Layer, find_layers
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import QuantPlan, Role, TensorQuant
from passes.ir.plan_file import read_plan, write_plan
from passes.ir.points import row_points
from passes.ir.weight_groups import base_scale
from passes.ir.weights import quantized_weight, rounded_weight
from passes.ir.widened_workload import widened_workload
from passes.lowering.terms import layer_sums
from passes.numerics import IntFormat, PerChannel, PerTensor, QuantParams, QuantSpec

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[1,3] x) => (float[1,2] y)
<float[3,2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}> { [layer] y = MatMul(x, w) }
"""
SPEC = QuantSpec(IntFormat(4), PerChannel(1))
CODES = np.array([[1, -8, 7], [0, 3, -2], [2, 2, 2]], np.int8)
SCALES = np.array([4.0, 0.75, 0.625], np.float32)
"""Channel 0: multiples 16 and 3 of 0.25; channel 1: 0.625."""


def params(scale: np.ndarray = SCALES) -> QuantParams:
    return QuantParams(scale.astype(np.float32), np.zeros(scale.shape, np.int32))


def widened() -> TensorQuant:
    return TensorQuant(Role.WEIGHT, SPEC, params(), CODES, (2, 1))


def a_layer() -> Layer:
    layers, _ = find_layers(model_from_text(TEXT).graph)
    return layers[0]


def test_scales_of_rows_are_multiples_of_one_scale_for_each_channel() -> None:
    found = row_points(a_layer(), widened())
    assert found is not None
    base, points = found
    assert base.tolist() == [0.25, 0.625]
    assert points.multiplier.tolist() == [16, 3, 1]
    assert base_scale(a_layer(), widened()).tolist() == [0.25, 0.625]


def test_the_weight_is_what_rows_add_up_to() -> None:
    values = rounded_weight(a_layer(), widened())
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[4 - 6, 4.375], [2.25, -1.25], [8 + 1.5, 1.25]])
    np.testing.assert_array_equal(quantized_weight(a_layer(), widened()), CODES)


def test_files_keep_them(tmp_path: Path) -> None:
    plan = QuantPlan(tensors={"w": widened()})
    write_plan(plan, tmp_path / "plan.json", "abc", "generic")
    found = read_plan(tmp_path / "plan.json", "abc")
    assert found == plan
    assert found != QuantPlan(tensors={"w": replace(widened(), points=(1, 2))})


@pytest.mark.parametrize("points", [[2, 2], [3, 0], [2, "x"], 3, [], [17, -14]])
def test_a_file_with_strange_points_is_refused(points: object) -> None:
    document = QuantPlan(tensors={"w": widened()}).to_json("abc", "generic")
    document["tensors"]["w"]["points"] = points
    with pytest.raises(PlanError, match="missing or malformed"):
        QuantPlan.from_json(document, "abc")


def test_what_cannot_have_points_is_refused() -> None:
    per_tensor = replace(SPEC, granularity=PerTensor())
    with pytest.raises(UsageError, match="a scale for each row"):
        TensorQuant(Role.WEIGHT, per_tensor, params(np.array(0.5)), points=(1,))
    with pytest.raises(UsageError, match="a scale for each row"):
        TensorQuant(Role.WEIGHT, SPEC, points=(1,))


@pytest.mark.parametrize(
    ("quant", "message"),
    [
        (TensorQuant(Role.WEIGHT, SPEC, params(), points=(2, 1)), "its points need codes"),
        (TensorQuant(Role.WEIGHT, SPEC, params(), CODES, (1, 1, 1)), "points for 2 channels, found 3"),
        (widened().with_codes(params(np.float32([1, 0.3, 1])), CODES, (2, 1)), "multiples"),
    ],
)
def test_strange_points_are_refused_by_name(quant: TensorQuant, message: str) -> None:
    with pytest.raises(PlanError, match=f"layer layer .*{message}"):
        row_points(a_layer(), quant)


def test_codes_of_another_shape_are_refused() -> None:
    quant = TensorQuant(Role.WEIGHT, SPEC, params(), CODES[:2], (2, 1))
    with pytest.raises(PlanError, match=r"expected codes of shape \(3, 3\), found \(2, 3\)"):
        rounded_weight(a_layer(), quant)


def test_new_scales_take_codes_and_points_away() -> None:
    plain = widened().with_params(params(SCALES[:2]))
    assert (plain.codes, plain.points) == (None, None)


def test_every_point_counts_as_terms_of_its_own() -> None:
    act = TensorQuant(Role.ACT, QuantSpec(IntFormat(8, signed=False), symmetric=False), params(np.array(1.0)))
    sums = layer_sums(a_layer(), QuantPlan(tensors={"x": act, "w": widened()}))
    assert sums is not None
    # Channel 0: 16 * (1, 0, 2) and 3 * (-8, 3, 2); channel 1: (7, -2, 2).
    assert sums[0].tolist() == [-24 * 255, -2 * 255]
    assert sums[1].tolist() == [(48 + 15) * 255, 9 * 255]


def test_the_work_has_a_row_for_every_point() -> None:
    quant = replace(widened(), codes=None)
    work = Workload.gemm("layer", 5, 3, 2)
    wide = widened_workload(work, quant)
    assert (wide.macs, wide.weight_count, wide.out_channels) == (5 * 3 * 3, 9, 3)
    assert (wide.multiplier_count, wide.in_elements) == (3, work.in_elements)
    assert widened_workload(work, None) is work


def test_each_row_of_a_depthwise_layer_is_a_group_that_reads_its_channel_again() -> None:
    work = Workload.conv("layer", (2, 2), (3, 3), (4, 4), groups=2)
    wide = widened_workload(work, widened())
    assert (wide.groups, wide.in_channels, wide.out_channels) == (3, 3, 3)
    assert (wide.macs, wide.in_elements) == (work.macs // 2 * 3, 3 * 16)
    assert load_target("bitfusion").rules(wide) == load_target("bitfusion").rules(work)
