"""What a target does not accept is never asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwmodels import Precision, load_target
from passes.api import PassContext
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import QuantPlan
from passes.ir.setup import QuantizerSetup, quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.numerics import PerChannel, PerTensor

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[1,1,4,4] x) => (float[1,1,4,4] y)
<float[1,1,1,1] w1 = {1.0}, float[1,1,1,1] w2 = {1.0}>
{ [one] a = Conv(x, w1) [two] y = ConvTranspose(a, w2) }
"""


def setup_for(**arithmetic: object) -> QuantizerSetup:
    target = load_target("generic")
    target = replace(target, arithmetic=replace(target.arithmetic, **arithmetic))
    return quantizer_setup(model_from_text(TEXT).graph, target)


def plan_for(**arithmetic: object) -> QuantPlan:
    setup = setup_for(**arithmetic)
    return plan_of_bits(setup, {layer.name: Precision(4, 8) for layer in setup.layers})


def test_a_layer_that_the_target_does_not_run_stays_float() -> None:
    setup = setup_for(unsupported_kinds=("ConvTranspose",))
    assert [layer.name for layer in setup.layers] == ["one"]
    refused = {entry.name: entry.reason for entry in setup.unquantized}
    assert "generic: layer 'two': layers of kind ConvTranspose do not run here" in refused["two"]


def test_the_granularity_of_weights_is_one_that_the_target_accepts() -> None:
    assert isinstance(plan_for().tensors["w1"].spec.granularity, PerChannel)
    assert isinstance(plan_for(granularities=("per_tensor",)).tensors["w1"].spec.granularity, PerTensor)


def test_symmetric_activations_are_signed_and_have_no_zero_point() -> None:
    default, symmetric = plan_for().tensors["x"].spec, plan_for(symmetric_acts=True).tensors["x"].spec
    assert (default.format.signed, default.symmetric) == (False, False)
    assert (symmetric.format.signed, symmetric.symmetric) == (True, True)


def test_power_of_two_scales_are_asked_for_everywhere() -> None:
    plan = plan_for(power_of_two_scales=True)
    assert all(quant.spec.power_of_two for quant in plan.tensors.values())
    again = QuantPlan.from_json(plan.to_json("ab", "generic"), "ab")
    assert again.tensors == plan.tensors


def test_rules_reach_the_scales(planned_context: PassContext) -> None:
    from passes.numerics import RangeMethod
    from passes.transform.assign_scales import AssignScales

    model = model_from_text(TEXT)
    ctx = planned_context
    setup = quantizer_setup(model.graph, ctx.target)
    model.plan = plan_of_bits(setup, {layer.name: Precision(4, 4) for layer in setup.layers})
    ctx.observes = AssignScales().observes
    for method in (RangeMethod.MINMAX, RangeMethod.MSE, RangeMethod.PERCENTILE):
        step = AssignScales(method=method, weights=RangeMethod.MSE)
        step.run(model, ctx)
        for quant in model.plan.tensors.values():
            mantissa, _ = np.frexp(quant.params.scale)
            assert (mantissa == 0.5).all()
            assert (quant.params.zero_point == 0).all()
