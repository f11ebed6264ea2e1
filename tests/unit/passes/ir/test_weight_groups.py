"""Which weights get groups, how plans keep them, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import numpy_helper, parser
from onnx.shape_inference import infer_shapes

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.errors import PlanError, UsageError
from passes.ir.onnx_io import model_from_proto
from passes.ir.plan import QuantPlan
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.ir.weight_groups import base_scale, group_size, multipliers, with_groups
from passes.ir.workload import workload
from passes.numerics import PerChannel, PerGroup, QuantParams

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[1,48,4,4] x) => (float[1,5] y)
{
    [single] a = Conv<group = 48>(x, w1)
    [dense] b = Conv<pads = [1, 1, 1, 1]>(a, w2)
    [pool] p = GlobalAveragePool(b)
    [flat] f = Flatten(p)
    [product] m = MatMul(f, w3)
    [last] y = Gemm<transB = 1>(m, w4)
}
"""

SHAPES = {"w1": (48, 1, 1, 1), "w2": (40, 48, 3, 3), "w3": (40, 20), "w4": (5, 20)}


def network():
    proto = parser.parse_model(TEXT)
    for name, shape in SHAPES.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    return infer_shapes(proto)


def planned(size=32, target="generic", bits=4):
    graph = model_from_proto(network(), "net", "0").graph
    setup = quantizer_setup(graph, load_target(target))
    plan = plan_of_bits(setup, {layer.name: Precision(bits, 8) for layer in setup.layers})
    return setup, with_groups(plan, setup, size)


def granularities(plan):
    return {name: plan.tensors[name].spec.granularity for name in ("w1", "w2", "w3", "w4")}


def test_groups_run_along_the_input_channels_of_layers_that_have_enough():
    setup, plan = planned()
    expected = {"w1": PerChannel(0), "w2": PerGroup(1, 32), "w3": PerGroup(0, 32), "w4": PerChannel(0)}
    assert granularities(plan) == expected
    assert group_size(plan) == 32
    counts = {layer.name: workload(layer, 32).multiplier_count for layer in setup.layers}
    assert counts == {"single": 0, "dense": 40 * 2 * 9, "product": 2 * 20, "last": 0}


def test_no_size_and_wide_weights_change_nothing():
    assert group_size(planned(0)[1]) == 0
    assert group_size(planned(32, bits=16)[1]) == 0


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="expected one of"):
        planned(20)
    with pytest.raises(UsageError, match="target scales weights per tensor or per channel only"):
        planned(32, "x86-avx2", 8)


def test_a_plan_with_groups_survives_its_file():
    setup, plan = planned()
    scale = np.float32([[0.5] * 20, [1.5] * 20])
    quant = plan.tensors["w3"].with_params(QuantParams(scale, np.zeros((2, 20), np.int32)))
    plan = replace(plan, tensors=plan.tensors | {"w3": quant})
    document = plan.to_json("abc", "generic")
    assert document["tensors"]["w3"]["axis"] == 0
    assert document["tensors"]["w3"]["group_size"] == 32
    assert QuantPlan.from_json(document, "abc") == plan
    layer = next(layer for layer in setup.layers if layer.name == "product")
    np.testing.assert_array_equal(base_scale(layer, quant), np.full(20, 0.5))
    np.testing.assert_array_equal(multipliers(layer, quant), [[1] * 20, [3] * 20])
    for size in (0, "x"):
        document["tensors"]["w3"]["group_size"] = size
        with pytest.raises(PlanError, match="missing or malformed"):
            QuantPlan.from_json(document, "abc")


@pytest.mark.parametrize(
    ("scale", "axis", "message"),
    [
        (np.full((2, 20), 0.3), 1, "groups along axis 0"),
        (np.full((3, 20), 0.3), 0, r"scales of shape \(2, 20\)"),
        (np.linspace(0.1, 0.7, 40).reshape(2, 20), 0, "multiples 1"),
    ],
)
def test_scales_of_a_strange_plan_are_refused(scale, axis, message):
    setup, plan = planned()
    quant = plan.tensors["w3"]
    quant = replace(quant, spec=replace(quant.spec, granularity=PerGroup(axis, 32)))
    quant = quant.with_params(QuantParams(np.float32(scale), np.zeros(scale.shape, np.int32)))
    layer = next(layer for layer in setup.layers if layer.name == "product")
    with pytest.raises(PlanError, match=message):
        base_scale(layer, quant)
