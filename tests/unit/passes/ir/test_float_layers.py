"""Layers that a plan keeps in floating point: what stays integer around them, and what their plan says."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwmodels import FLOAT, Precision, load_target
from passes.allocation.build import check_pins, uniform_bits
from passes.errors import InfeasibleError, PlanError
from passes.ir.float_layers import fitted
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import QuantPlan
from passes.ir.plan_file import read_plan, write_plan
from passes.ir.setup import BY_PLAN, QuantizerSetup, quantizer_setup
from passes.ir.specs import group_bits, plan_of_bits

EIGHT = Precision(8, 8)
EYE = "= {1.0,0.0,0.0,1.0}"
BLOCK = f"""
<ir_version: 8, opset_import: ["" : 13]>
block (float[N,2,4,4] x) => (float[N,2,4,4] y)
<float[2,2,1,1] w1 {EYE}, float[2,2,1,1] w2 {EYE}, float[2,2,1,1] w3 {EYE}, float[2,2,1,1] w4 {EYE}>
{{
    [first] a = Conv(x, w1)
    [relu] r = Relu(a)
    [second] b = Conv(r, w2)
    [sum] s = Add(r, b)
    [third] c = Conv(s, w3)
    [side] d = Conv(s, w4)
    [last] y = Add(c, d)
}}
"""


@pytest.fixture
def block() -> Model:
    """A residual block, and two layers that read its sum."""
    return model_from_text(BLOCK)


def tensors(setup: QuantizerSetup) -> set[str]:
    return {member for group in setup.groups for member in group.members}


def test_the_result_of_a_float_layer_is_quantized_where_integers_read_it(block: Model) -> None:
    setup = quantizer_setup(block.graph).fit({"first"})
    assert [layer.name for layer in setup.floats] == ["first"]
    # The clamp behind it is no saturation of sums any more, and what they give is as an input of the model.
    assert "relu" not in setup.nodes
    assert "sum" in setup.nodes
    assert tensors(setup) == {"r", "b", "s", "c", "d"}
    assert setup.unquantized[0].reason == BY_PLAN


def test_nothing_is_quantized_for_a_float_layer_alone(block: Model) -> None:
    setup = quantizer_setup(block.graph).fit({"second", "third", "side"})
    assert tensors(setup) == {"x"}
    assert not quantizer_setup(block.graph).fit({layer.name for layer in setup.stored}).nodes


def test_without_such_layers_the_setup_is_the_same_object(block: Model) -> None:
    setup = quantizer_setup(block.graph)
    assert setup.fit(()) is setup
    assert fitted(setup, QuantPlan()) is setup


def test_plan_lists_float_layers_and_gives_them_no_quantizer(block: Model, tmp_path: Path) -> None:
    setup = quantizer_setup(block.graph)
    bits = {"first": FLOAT, "second": Precision(4, 8), "third": Precision(3, 32), "side": EIGHT}
    plan = plan_of_bits(setup, bits)
    assert list(plan.layers) == list(bits)
    assert "w1" not in plan.tensors
    assert plan.tensors["w2"].spec.format.bits == 4
    assert plan.tensors["w3"].spec.format.bits == 3
    assert plan.tensors["s"].spec.format.bits == 8
    assert {layer.name for layer in fitted(setup, plan).floats} == {"first", "third"}
    write_plan(plan, tmp_path / "plan.json", "ab", "generic")
    assert read_plan(tmp_path / "plan.json", "ab") == plan


def test_readers_in_floating_point_have_no_say_in_the_bits_of_a_tensor(block: Model) -> None:
    group = quantizer_setup(block.graph).group_of()["s"]
    assert group_bits(group, {"third": FLOAT, "side": Precision(4, 6)}) == 6
    assert group_bits(group, {"third": FLOAT, "side": FLOAT}) == 32
    with pytest.raises(PlanError):
        group_bits(group, {"third": EIGHT, "side": Precision(4, 6)})


def test_pins_to_float_do_not_bind_other_readers(block: Model) -> None:
    setup = quantizer_setup(block.graph, load_target("generic"))
    pins = {"third": FLOAT}
    check_pins(setup, pins | {"side": Precision(4, 4)})
    assert uniform_bits(setup, EIGHT, pins)["side"] == EIGHT


def test_a_machine_of_integers_keeps_no_layer_float(block: Model) -> None:
    setup = quantizer_setup(block.graph, load_target("bitfusion"))
    with pytest.raises(InfeasibleError, match="third cannot stay float"):
        check_pins(setup, {"third": FLOAT})
