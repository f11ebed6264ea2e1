"""Biases in accumulator steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwmodels import Precision
from passes.errors import LoweringError
from passes.ir.layers import Layer
from passes.ir.model import Model
from passes.ir.plan import QuantPlan
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.bias import accumulator_scale, bias_codes, bias_values, quantization_of
from passes.numerics import QuantParams


@pytest.fixture
def layer(model: Model) -> Layer:
    """The Gemm with the bias 0.5, -0.5."""
    return quantizer_setup(model.graph).layers[0]


@pytest.fixture
def plan(model: Model) -> QuantPlan:
    """Scales 0.5 for the activation, 0.25 and 0.125 for the weights: steps of 1/8 and 1/16."""
    setup = quantizer_setup(model.graph)
    empty = plan_of_bits(setup, {layer.name: Precision(8, 8) for layer in setup.layers})
    act = QuantParams(np.array(0.5, np.float32), np.array(0, np.int32))
    weight = QuantParams(np.array([0.25, 0.125], np.float32), np.zeros(2, np.int32))
    tensors = empty.tensors | {
        "x": empty.tensors["x"].with_params(act),
        "w1": empty.tensors["w1"].with_params(weight),
    }
    return replace(empty, tensors=tensors)


def test_a_bias_counts_accumulator_steps(layer: Layer, plan: QuantPlan) -> None:
    np.testing.assert_array_equal(accumulator_scale(layer, plan), [0.125, 0.0625])
    np.testing.assert_array_equal(bias_codes(layer, plan), [4, -8])


def test_the_bias_of_the_plan_takes_the_place_of_the_model_s(layer: Layer, plan: QuantPlan) -> None:
    corrected = replace(plan, biases={"first": (1.0, 0.25)})
    np.testing.assert_array_equal(bias_values(layer, corrected), [1.0, 0.25])
    np.testing.assert_array_equal(bias_codes(layer, corrected), [8, 4])


@pytest.mark.parametrize(
    ("biases", "message"), [((1.0, 2.0, 3.0), "expected 2 bias values"), ((1e9, 0.0), "more than 32 bits")]
)
def test_a_bias_that_does_not_fit(
    layer: Layer, plan: QuantPlan, biases: tuple[float, ...], message: str
) -> None:
    with pytest.raises(LoweringError, match=f"layer first: .*{message}"):
        bias_codes(layer, replace(plan, biases={"first": biases}))


def test_a_tensor_without_a_scale_is_named(layer: Layer, plan: QuantPlan) -> None:
    with pytest.raises(LoweringError, match="layer first: the plan has no scale for tensor 'r'"):
        quantization_of(plan, "r", layer.name)
