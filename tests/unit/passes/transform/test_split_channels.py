"""Channel splitting keeps the results and lowers the scales."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels.registry import load_target
from passes.api import Aspect, PassContext
from passes.errors import UsageError
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.setup import quantizer_setup
from passes.testing import check_pass
from passes.transform.split_channels import SplitChannels, outlying_channels

SHAPES = {"w1": (6, 3, 3, 3), "b1": (6,), "w2": (6, 1, 3, 3), "w3": (5, 6, 1, 1), "w4": (4, 5), "w5": (4, 2)}


def network(more: str = "") -> Model:
    """Dense, depthwise and pointwise convolutions, then two products; channel 2 of w3 has large weights."""
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal(shape).clip(-2, 2) for name, shape in SHAPES.items()}
    values["w3"][:, 2] *= 20.0
    constants = ", ".join(
        f"float[{','.join(map(str, array.shape))}] {name} = {{{', '.join(f'{v:f}' for v in array.ravel())}}}"
        for name, array in values.items()
    )
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,3,8,8] x) => (float[N,2] y{", float[N,6,8,8] c" if more else ""})
        <{constants}, float low = {{0.0}}, float high = {{6.0}}> {{
            [dense] a = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
            [clamp] c = Clip(a, low, high)
            [depthwise] d = Conv<group = 6>(c, w2)
            [relu] e = Relu(d)
            [point] f = Conv(e, w3)
            [pool] g = GlobalAveragePool(f)
            [flat] h = Flatten(g)
            [wide] i = Gemm<transB = 1>(h, w4)
            [bent] j = LeakyRelu(i)
            [last] y = MatMul(j, w5)
        }}"""
    )


@pytest.fixture
def ctx() -> PassContext:
    return PassContext(load_target("generic"), workers=1)


def test_a_channel_goes_through_depthwise_layers_and_clamps(ctx: PassContext) -> None:
    model, before = network(), network()
    result = SplitChannels(0.1).run(model, ctx)
    assert result.wrote == Aspect.GRAPH | Aspect.WEIGHTS
    assert result.facts == {"channels": 2, "layers": 2}
    tensors = model.graph.tensors()
    shapes = {name: tensors[name].shape for name in SHAPES}
    assert [shapes[name][0] for name in ("w1", "b1", "w2")] == [7, 7, 7]
    assert shapes["w3"] == (5, 7, 1, 1)
    assert (shapes["w4"], shapes["w5"]) == ((5, 5), (5, 2))
    assert tensors["e"].shape[1] == 7
    np.testing.assert_array_equal(tensors["w1"].values[6], before.graph.tensors()["w1"].values[2])
    np.testing.assert_array_equal(tensors["w3"].values[:, 2], before.graph.tensors()["w3"].values[:, 2] / 2)
    np.testing.assert_array_equal(tensors["w3"].values[:, 2], tensors["w3"].values[:, 6])
    assert len(quantizer_setup(model.graph).layers) == 5


def test_the_network_computes_what_it_did(ctx: PassContext) -> None:
    x = np.random.default_rng(1).standard_normal((4, 3, 8, 8)).astype(np.float32)
    model = network()
    SplitChannels(0.5).run(model, ctx)
    (found,), (wanted,) = (
        Session(to_proto(it), Level.BASIC, threads=1).run({"x": x}) for it in (model, network())
    )
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_it_keeps_the_promises_of_a_pass() -> None:
    check_pass(SplitChannels(0.3), network, lambda: PassContext(load_target("generic")), same_outputs=True)


def test_what_is_read_elsewhere_too_is_left_alone(ctx: PassContext) -> None:
    model = network("too")
    assert SplitChannels(0.1).run(model, ctx).facts == {"channels": 1, "layers": 1}
    reasons = {entry.subject: entry.message for entry in ctx.journal}
    assert reasons == {
        "dense": "its input is one of the model",
        "point": "its input c has other readers",
        "wide": "its input comes from Flatten flat",
    }


def test_the_channels_that_lower_most_scales_come_first() -> None:
    rows = np.array([[8, 1, 1, 1], [1, 6, 1, 1], [4, 1, 1, 1]], np.float32)
    assert outlying_channels(rows, 0.25).tolist() == [0]
    assert outlying_channels(rows, 0.5).tolist() == [0, 1]
    assert outlying_channels(np.ones((2, 4), np.float32), 1.0).tolist() == []


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1.5, float("nan")])
def test_a_ratio_is_a_share(ratio: float) -> None:
    with pytest.raises(UsageError, match="ratio must lie in"):
        SplitChannels(ratio)
