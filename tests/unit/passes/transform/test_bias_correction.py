"""Bias correction removes the mean error of rounded weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from passes.api import PassContext
from passes.errors import PreconditionError
from passes.execution.collect import MEANS
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.setup import quantizer_setup
from passes.numerics import RangeMethod, fake_quantize
from passes.transform.assign_scales import AssignScales
from passes.transform.bias_correction import BiasCorrection, inside_share

X_MEAN = np.array([0.5625, 0.75])


@pytest.fixture
def scaled(planned: Callable[[int, int], Model], calibrated: PassContext) -> Model:
    """Weights of 2 bits, which round far off."""
    model = planned(2, 8)
    calibrated.observes = frozenset({MEANS})
    AssignScales(method=RangeMethod.MINMAX, weights=RangeMethod.MINMAX).run(model, calibrated)
    return model


def test_the_mean_of_the_output_is_kept(scaled: Model, calibrated: PassContext) -> None:
    BiasCorrection().run(scaled, calibrated)
    layer = quantizer_setup(scaled.graph).layers[0]
    quant = scaled.plan.tensors["w1"]
    rounded = fake_quantize(layer.weight_values(), quant.spec, quant.params)
    expected = X_MEAN @ layer.weight_values() + layer.bias.values
    np.testing.assert_allclose(X_MEAN @ rounded + scaled.plan.biases["first"], expected, rtol=1e-6)
    assert scaled.plan.biases["first"] != tuple(layer.bias.values)


def test_the_graph_and_a_product_without_a_bias_are_left_alone(
    scaled: Model, calibrated: PassContext
) -> None:
    BiasCorrection().run(scaled, calibrated)
    np.testing.assert_array_equal(scaled.graph.tensors()["b1"].values, [0.5, -0.5])
    assert set(scaled.plan.biases) == {"first"}
    assert [entry.subject for entry in calibrated.journal] == ["second"]


def test_wide_weights_need_no_correction(scaled: Model, calibrated: PassContext) -> None:
    assert "0 biases" in BiasCorrection(max_bits=1).run(scaled, calibrated).summary
    assert scaled.plan.biases == {}


def test_scales_must_have_been_assigned(scaled: Model, calibrated: PassContext) -> None:
    bare = {name: replace(quant, params=None) for name, quant in scaled.plan.tensors.items()}
    scaled.plan = replace(scaled.plan, tensors=bare)
    with pytest.raises(PreconditionError, match="assign-scales first"):
        BiasCorrection().check(scaled, calibrated)


def test_padding_takes_its_share() -> None:
    model = model_from_text(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        net (float[N,1,3] x) => (float[N,1,3] y) <float[1,1,3] w = {1, 1, 1}>
        { [conv] y = Conv<pads = [1, 1]>(x, w) }
        """
    )
    (layer,) = quantizer_setup(model.graph).layers
    np.testing.assert_allclose(inside_share(layer), [2 / 3, 1, 2 / 3])


def test_taps_of_a_transposed_convolution_take_turns() -> None:
    model = model_from_text(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        net (float[N,1,3] x) => (float[N,1,6] y) <float[1,1,3] w = {1, 1, 1}>
        { [up] y = ConvTranspose<pads = [1, 0], strides = [2]>(x, w) }
        """
    )
    (layer,) = quantizer_setup(model.graph).layers
    np.testing.assert_allclose(inside_share(layer), [2 / 6, 3 / 6, 3 / 6])
