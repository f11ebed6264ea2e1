"""The engine as a whole: entry and exit, slices of a batch, single steps and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from passes.artifact import Artifact, Step, TensorInfo, WeightLayout
from passes.errors import ArtifactError, DataError, UsageError
from qtool.runtime import Engine
from qtool.runtime.batching import samples_per_slice
from qtool.runtime.tiles import part, tiles


def network(pack, reshape=(0, -1)) -> Artifact:
    """Conv, Add of a constant, flatten, Gemm to float32, Softmax."""
    tensors = {
        "x": TensorInfo("x", (None, 1, 4), 8, True, 0.5, 2),
        "h": TensorInfo("h", (None, 2, 4), 4, False, 0.25, 0),
        "k": TensorInfo("k", (2, 1), 8, True, 0.25, 0),
        "s": TensorInfo("s", (None, 2, 4), 8, False, 0.25, 10),
        "f": TensorInfo("f", (None, 8), 8, False, 0.25, 10),
        "y": TensorInfo("y", (None, 3)),
        "p": TensorInfo("p", (None, 3)),
    }
    attrs = {"strides": [1], "pads": [1, 1], "dilations": [1], "group": 1}
    conv_weight = pack([[[1, 2, -1]], [[0, 1, 1]]], scale=[0.25, 0.5])
    matrix = pack(np.arange(24).reshape(8, 3) - 11, WeightLayout.IN_OUT, scale=[0.125])
    steps = (
        Step("conv", "conv", ("x",), "h", attrs, conv_weight, np.array([1, -2])),
        Step("constant", "k", (), "k", {"shape": [2, 1]}, table=np.array([4, -9])),
        Step("add", "add", ("h", "k"), "s"),
        Step("reshape", "flat", ("s",), "f", {"shape": list(reshape)}),
        Step("gemm", "fc", ("f",), "y", weight=matrix),
        Step("softmax", "softmax", ("y",), "p", {"axis": 1}),
    )
    return Artifact("test", "", "generic", "half_even", "exact", ("x",), ("p", "f"), tensors, steps)


def test_run_quantizes_and_dequantizes_as_onnx_does(info):
    x, y = TensorInfo("x", (None,), 8, False, 0.5, 3), TensorInfo("y", (None,), 8, False, 0.5, 3)
    artifact = Artifact(
        "test",
        "",
        "",
        "half_even",
        "exact",
        ("x",),
        ("y",),
        {"x": x, "y": y},
        (Step("identity", "i", ("x",), "y"),),
    )
    out = Engine(artifact).run({"x": np.array([0.25, 0.75, -9.0, 1e30, np.inf])})
    np.testing.assert_array_equal(out["y"], np.float32([0.0, 1.0, -1.5, 126.0, 126.0]))


def test_a_hand_made_network(pack):
    x = np.zeros((1, 1, 4), np.float32)
    x[0, 0, 1] = 2.0
    trace = Engine(network(pack)).trace({"x": x})
    np.testing.assert_array_equal(trace["x"], [[[2, 6, 2, 2]]])
    # Taps (1, 2, -1) over 0 0 4 0 0 0, + 1, times 0.5 * 0.25 / 0.25: -3/2, 9/2, 5/2, 1/2.
    np.testing.assert_array_equal(trace["h"], [[[0, 4, 2, 0], [2, 2, 0, 0]]])
    np.testing.assert_array_equal(trace["s"], [[[14, 18, 16, 14], [3, 3, 1, 1]]])
    centred = trace["f"].astype(float) - 10
    np.testing.assert_array_equal(trace["y"], centred @ (np.arange(24).reshape(8, 3) - 11) * 0.03125)
    assert trace["p"].sum() == pytest.approx(1)


def test_slices_of_a_batch_give_what_the_whole_gives(pack, rng, monkeypatch):
    x = rng.normal(0, 20, (7, 1, 4))
    whole = Engine(network(pack)).run({"x": x})
    monkeypatch.setattr("qtool.runtime.batching.SLICE_ELEMENTS", 100)
    sliced = Engine(network(pack))
    assert samples_per_slice(sliced.artifact) == 2
    for name, expected in whole.items():
        np.testing.assert_array_equal(sliced.run({"x": x})[name], expected)


@pytest.mark.parametrize("reshape", [(1, 8), (2, -1)])
def test_a_batch_is_not_cut_when_a_step_mixes_samples(pack, reshape):
    assert samples_per_slice(network(pack, reshape)) is None


def test_one_step_alone(pack):
    engine = Engine(network(pack))
    out = engine.run_step("add", {"h": np.array([[[1], [2]]], np.uint8), "k": np.array([[4], [-9]], np.int8)})
    np.testing.assert_array_equal(out, [[[15], [3]]])
    with pytest.raises(UsageError, match="did you mean add"):
        engine.run_step("ad", {})
    with pytest.raises(DataError, match="lacks its input 'h'"):
        engine.run_step("add", {})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "expected the inputs"),
        ({"x": np.zeros((2, 1, 5))}, "expected shape"),
        ({"x": np.full((1, 1, 4), np.nan)}, "NaN"),
        ({"x": np.full((1, 1, 4), "a")}, "real numbers"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(pack, inputs, message):
    with pytest.raises(DataError, match=message):
        Engine(network(pack)).run(inputs)


def test_sums_beyond_exactness_are_refused(pack, monkeypatch):
    monkeypatch.setattr("qtool.runtime.epilogue.MAX_SUM", 100)
    with pytest.raises(ArtifactError, match=r"step 'conv' \(conv\): sums reach .* exact below 100"):
        Engine(network(pack))


@pytest.mark.parametrize("shape", [(), (5,), (3, 4, 5), (2, 100, 7), (0, 3), (3, 0)])
def test_tiles_cover_an_array_once(shape):
    seen = np.zeros(shape, int)
    for tile in tiles(shape, 16):
        assert seen[tile].size <= 16
        seen[tile] += 1
    assert (seen == 1).all()


def test_part_keeps_what_is_broadcast():
    parameter = np.arange(4).reshape(1, 4, 1)
    np.testing.assert_array_equal(part(parameter, (slice(3, 4), slice(1, 3))), [[[1], [2]]])
