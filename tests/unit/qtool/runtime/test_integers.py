"""Steps beside the activations, quotients and sums: hand-made numbers on both engines, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.errors import ArtifactError, DataError
from passes.lowering.methods import softmax_table
from passes.numerics import IntFormat
from qtool.runtime import open_engine
from qtool.runtime.batching import samples_per_slice


def table(scale: float = 1.0, zero: int = 0) -> PackedWeight:
    return PackedWeight.pack(
        np.array([[1, 2], [3, 4], [5, 6]]),
        name="t",
        layout=WeightLayout.OUT_IN,
        fmt=IntFormat(8, signed=False),
        scale=np.array(scale),
        zero_point=np.array(zero),
    )


def index(name: str, rank: int) -> TensorInfo:
    return TensorInfo(name, (None,) * rank, 32, signed=True)


def artifact(**parts: object) -> Artifact:
    """Rows of a table by token, of which the third axis is summed."""
    step = Step("embedding", "e", ("x",), "y", weight=table())
    tensors = {"x": index("x", 2), "y": TensorInfo("y", (None, None, 2), 8)}
    return Artifact("t", "", "g", "half_even", "exact", ("x",), ("y",), tensors, (step,))


def test_rows_are_picked_from_the_front_and_from_the_back(run_one, info):
    out = run_one("embedding", [[[0, 2], [-1, 1]]], [index("x", 2)], info("y", 3), weight=table())
    np.testing.assert_array_equal(out, [[[1, 2], [5, 6]], [[5, 6], [3, 4]]])


@pytest.mark.parametrize("wrong", [3, -4, 2**31 - 1])
def test_an_index_without_a_row_is_refused(run_one, info, wrong):
    with pytest.raises(DataError, match=f"index {wrong} lies outside -3..2"):
        run_one("embedding", [[[0, wrong]]], [index("x", 2)], info("y", 3), weight=table())


def test_other_parameters_than_those_of_the_table_are_refused(run_one, info):
    with pytest.raises(ArtifactError, match="its output has other parameters"):
        run_one("embedding", [[[0]]], [index("x", 2)], info("y", 3), weight=table(scale=0.5))


@pytest.mark.parametrize("kind", ["reference", "auto"])
def test_inputs_that_are_no_integers_of_32_bits_are_refused(kind):
    engine = open_engine(artifact(), kind)[0]
    with pytest.raises(DataError, match="expected integers, found float32"):
        engine.run({"x": np.zeros((1, 1), np.float32)})
    with pytest.raises(DataError, match="expected integers of 32 bits"):
        engine.run({"x": np.array([[2**31]])})
    np.testing.assert_array_equal(engine.run({"x": np.array([[1]])})["y"], [[[3, 4]]])


def test_truth_values(run_one, info):
    out = run_one("nonzero", [[0, 1, -7]], [index("x", 1)], info("y", 1, bits=1))
    np.testing.assert_array_equal(out, [0, 1, 1])


def test_integers_become_codes_with_saturation(run_one, info):
    out = run_one("requantize", [[0, 3, -2, 2**31 - 1]], [index("x", 1)], info("y", 1, scale=0.5, zero=2))
    np.testing.assert_array_equal(out, [2, 8, 0, 255])


CUT = {"axes": [0], "like_axes": [1]}


def test_a_table_is_cut_to_the_length_of_the_data(run_one, info):
    arrays = [np.arange(8).reshape(4, 2), np.zeros((5, 3))]
    out = run_one("trim", arrays, [info("x", 2), index("like", 2)], info("y", 2), attrs=CUT)
    np.testing.assert_array_equal(out, [[0, 1], [2, 3], [4, 5]])


def test_data_longer_than_the_table_are_refused(run_one, info):
    arrays = [np.zeros((4, 2)), np.zeros((1, 5))]
    with pytest.raises(DataError, match="5 long on axis 1; the model has a table for 4"):
        run_one("trim", arrays, [info("x", 2), index("like", 2)], info("y", 2), attrs=CUT)


def test_extents_come_from_another_tensor(run_one, info):
    attrs = {"shape": [0, -1, 2], "like_axes": [0, -1, -1]}
    arrays = [np.arange(12).reshape(6, 2), np.zeros((3, 9))]
    out = run_one("reshape_like", arrays, [info("x", 2), index("like", 2)], info("y", 3), attrs=attrs)
    assert out.shape == (3, 2, 2)


def test_extents_that_do_not_fit_are_refused(run_one, info):
    attrs = {"shape": [0, 2], "like_axes": [0, -1]}
    arrays = [np.zeros((6, 2)), np.zeros((5, 1))]
    with pytest.raises(ArtifactError, match="cannot arrange"):
        run_one("reshape_like", arrays, [info("x", 2), index("like", 2)], info("y", 2), attrs=attrs)


def test_quotients_are_rounded_half_up(run_one, info):
    inputs = [info("a", 1), info("b", 1, zero=10)]
    out = run_one("div", [[7, 9, 6], [12, 12, 8]], inputs, info("y", 1, zero=100))
    # 7/2 = 3.5, 9/2 = 4.5, 6/-2 = -3.
    np.testing.assert_array_equal(out, [104, 105, 97])


def test_quotients_of_zero_are_the_ends(run_one, info):
    inputs = [info("a", 1, zero=6), info("b", 1, zero=10)]
    out = run_one("div", [[7, 6, 5], [10, 10, 10]], inputs, info("y", 1, zero=100))
    np.testing.assert_array_equal(out, [255, 0, 0])


def test_quotients_of_other_scales(rng, run_one, info):
    a, b = rng.integers(0, 256, (4, 5)), rng.integers(1, 256, (4, 1))
    inputs = [info("a", 2, scale=0.75), info("b", 2, scale=0.125)]
    out = run_one("div", [a, b], inputs, info("y", 2, scale=0.25))
    np.testing.assert_array_equal(out, np.clip(np.floor(a * 24 / b + 0.5), 0, 255))


def test_sums_of_an_axis(run_one, info):
    attrs = {"axes": [1], "keepdims": 0}
    out = run_one("reduce_sum", [[[3, 4, 8], [2, 2, 2]]], [info("x", 2, zero=2)], info("y", 2), attrs=attrs)
    np.testing.assert_array_equal(out, [9, 0])


def test_hidden_scores_have_no_share(rng, run_one, info):
    scale, out_scale = float(np.float32(0.07)), float(np.float32(1 / 256))
    codes, mask = rng.integers(0, 256, (2, 3, 4)), np.array([[[1, 1, 0, 1]], [[0, 1, 0, 0]]])
    inputs = [info("x", 3, scale=scale), info("m", 3, bits=1)]
    y = info("y", 3, scale=out_scale)
    out = run_one("integer_softmax", [codes, mask], inputs, y, table=softmax_table(scale, 8))
    powers = np.exp(scale * codes) * mask
    np.testing.assert_allclose(out, np.minimum(powers / powers.sum(-1, keepdims=True) * 256, 255), atol=0.51)
    assert not out[~np.broadcast_to(mask, out.shape).astype(bool)].any()


def test_a_row_of_which_all_is_hidden_is_even(run_one, info):
    inputs = [info("x", 2), info("m", 2, bits=1)]
    y = info("y", 2, scale=1 / 16)
    out = run_one(
        "integer_softmax", [[[9, 200, 3, 7]], [[0, 0, 0, 0]]], inputs, y, table=softmax_table(1.0, 8)
    )
    np.testing.assert_array_equal(out, [[4, 4, 4, 4]])


@pytest.mark.parametrize(
    ("op", "infos", "parts", "problem"),
    [
        ("nonzero", ["code"], {}, "expected an input of plain integers"),
        ("add", ["index", "code"], {}, "works on codes, but an input holds plain integers"),
        ("trim", ["code", "index"], {"attrs": {"axes": [0], "like_axes": []}}, "as many like_axes as axes"),
        ("integer_softmax", ["code", "code"], {"table": softmax_table(1.0, 8)}, "a mask of one unsigned bit"),
    ],
)
def test_integers_in_the_wrong_place_are_refused(run_one, info, op, infos, parts, problem):
    made = [index(f"x{at}", 1) if kind == "index" else info(f"x{at}", 1) for at, kind in enumerate(infos)]
    with pytest.raises(ArtifactError, match=problem):
        run_one(op, [[0]] * len(made), made, info("y", 1), **parts)


@pytest.mark.parametrize("changed", [{"signed": False}, {"scale": 0.5}, {"zero_point": 1}])
def test_plain_integers_have_no_parameters(changed):
    with pytest.raises(ArtifactError, match="signed and stand for themselves"):
        TensorInfo("x", (None,), 32, **({"signed": True} | changed))


def test_samples_are_cut_beside_a_table_of_the_lengths():
    assert samples_per_slice(artifact()) is not None
