"""Scales, from ranges that can be seen in the model and the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from passes.api import Aspect, PassContext
from passes.errors import PreconditionError
from passes.ir.model import Model
from passes.ir.plan import QuantPlan
from passes.ir.setup import quantizer_setup
from passes.numerics import RangeMethod
from passes.transform.assign_scales import AssignScales, bias_floor

Planned = Callable[[int, int], Model]
MINMAX = AssignScales(method=RangeMethod.MINMAX, weights=RangeMethod.MINMAX)


def test_ranges_become_short_scales(planned: Planned, calibrated: PassContext) -> None:
    model = planned(4, 4)
    assert MINMAX.run(model, calibrated).wrote is Aspect.PLAN
    params = {name: quant.params for name, quant in model.plan.tensors.items()}
    # -1..3 in 15 steps needs 0.2667, and 0.28125 is the next number of four significant bits.
    assert (float(params["x"].scale), int(params["x"].zero_point)) == (0.28125, 4)
    # Columns of w1 reach 3 and 4; the largest of 7 codes is theirs: 3/7 and 4/7, rounded up.
    np.testing.assert_array_equal(params["w1"].scale, [0.4375, 0.625])
    np.testing.assert_array_equal(params["w1"].zero_point, [0, 0])


def test_what_leaves_a_relu_starts_at_its_zero_point(planned: Planned, calibrated: PassContext) -> None:
    model = planned(8, 8)
    MINMAX.run(model, calibrated)
    assert int(model.plan.tensors["r"].params.zero_point) == 0


@pytest.mark.parametrize("method", list(RangeMethod))
def test_no_method_goes_beyond_what_was_seen(
    method: RangeMethod, planned: Planned, calibrated: PassContext
) -> None:
    model, step = planned(8, 8), AssignScales(method=method)
    calibrated.observes = step.observes
    step.run(model, calibrated)
    assert float(model.plan.tensors["x"].params.scale) * 255 <= 4 * 9 / 8


def test_large_biases_hold_weight_scales_up(planned: Planned, calibrated: PassContext) -> None:
    model = planned(8, 8)
    layer = quantizer_setup(model.graph).layers[0]
    layer.bias.values = np.array([1e9, 0.0], np.float32)
    MINMAX.run(model, calibrated)
    act, weight = model.plan.tensors["x"], model.plan.tensors["w1"]
    floor = bias_floor(layer, weight, act)
    assert floor[0] == pytest.approx(1e9 / float(act.params.scale) / 2**30)
    assert float(weight.params.scale[0]) >= floor[0]
    assert float(weight.params.scale[1]) < 1


def test_an_empty_plan_is_refused(model: Model, calibrated: PassContext) -> None:
    model.plan = replace(model.plan, tensors=QuantPlan().tensors)
    with pytest.raises(PreconditionError, match="allocate bits first"):
        MINMAX.check(model, calibrated)
