"""Bias absorption: numbers by hand, what must not be touched, and that results stay."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels.registry import load_target
from passes.api import Aspect, PassContext
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.session import Session
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.manager import PassManager
from passes.testing import check_pass
from passes.transform.absorb_bias import AbsorbBias

SAMPLES = 16


def network(second: str = "Conv(r, v, d)", middle: str = "Relu") -> Model:
    """Two convolutions; channel 1 of the first is 10 more than what it multiplies."""
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]> net (float[N,2,3,3] x) => (float[N,2,a,b] y)
        <float[2,2,1,1] w = {{1.0, 0.0, 0.0, 1.0}}, float[2] c = {{0.0, 10.0}},
         float[2,2,1,1] v = {{1.0, 0.5, -1.0, 2.0}}, float[2] d = {{0.25, 0.5}},
         float[2,1,2,2] k = {{1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5}}> {{
            [first] h = Conv(x, w, c)
            [middle] r = {middle}(h)
            [second] y = {second}
        }}"""
    )


def context() -> PassContext:
    """Samples from -1 to 1, both of which occur in channel 1."""
    data = np.random.default_rng(0).uniform(-1, 1, (SAMPLES, 2, 3, 3)).astype(np.float32)
    data[0, 1, 0, :2] = -1, 1
    inputs = (InputSpec("x", (None, 2, 3, 3), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), SAMPLES, None, {"x": data}), inputs, ("x",), None, SAMPLES, "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def biases(model: Model) -> list[list[float]]:
    tensors = model.graph.tensors()
    return [np.asarray(tensors[name].values).tolist() for name in ("c", "d") if name in tensors]


def test_the_least_value_of_a_channel_moves_on() -> None:
    model = network()
    record = PassManager((AbsorbBias(),)).run(model, context())[0]
    assert record.wrote == Aspect.WEIGHTS | Aspect.PLAN
    assert biases(model) == [[0.0, 1.0], [0.25 + 0.5 * 9, 0.5 + 2 * 9]]
    assert {name: values.tolist() for name, values in model.plan.constants.items()} == {
        "c": [0.0, 1.0],
        "d": [4.75, 18.5],
    }


def test_every_tap_of_a_depthwise_kernel_counts() -> None:
    model = network("Conv<group = 2>(r, k, d)")
    PassManager((AbsorbBias(),)).run(model, context())
    assert biases(model) == [[0.0, 1.0], [0.25, 0.5 + 4 * 0.5 * 9]]


@pytest.mark.parametrize("second", ["Conv(r, v, d)", "Conv<group = 2>(r, k, d)"])
def test_the_pass_conforms(second: str) -> None:
    check_pass(AbsorbBias(), lambda: network(second), context)


@pytest.mark.parametrize("second", ["Conv(r, v, d)", "Conv<group = 2>(r, k, d)"])
def test_on_calibration_data_results_stay(second: str) -> None:
    model, ctx = network(second), context()
    before = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))[0]
    PassManager((AbsorbBias(),)).run(model, ctx)
    np.testing.assert_allclose(
        Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))[0],
        before,
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("second", "middle"),
    [
        ("Conv<group = 2, pads = [1, 1, 1, 1]>(r, k, d)", "Relu"),
        ('Conv<group = 2, auto_pad = "SAME_UPPER">(r, k, d)', "Relu"),
        ("Conv(r, v)", "Relu"),
        ("Conv(r, v, c)", "Relu"),
        ("Conv(r, v, d)", "Sigmoid"),
    ],
)
def test_where_a_constant_cannot_move_nothing_is_done(second: str, middle: str) -> None:
    model = network(second, middle)
    record = PassManager((AbsorbBias(),)).run(model, context())[0]
    assert record.wrote is Aspect.NONE
    assert record.facts == {"pairs": 0, "absorbed": 0}
    assert biases(model)[0] == [0.0, 10.0]


def test_too_little_gain_is_left_alone() -> None:
    model = network()
    assert PassManager((AbsorbBias(gain=0.9),)).run(model, context())[0].wrote is Aspect.NONE
