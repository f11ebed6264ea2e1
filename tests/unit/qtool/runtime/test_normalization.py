"""Integer softmax and normalization: hand-made numbers, and the stated errors against float64."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from passes.errors import ArtifactError
from passes.ir.plan import Role, TensorQuant
from passes.lowering.methods import method_step, softmax_table
from passes.numerics import IntFormat, QuantParams, QuantSpec, RequantRule
from qtool.runtime.normalization import rounded_quotient

ONE = 1 << 24


def test_hand_made_softmax(run_one, info):
    # Two bits, scale such that a step halves: 8 : 4 : 1 of 13, in units of 1/13.
    table = np.array([ONE, ONE // 2, ONE // 4, ONE // 8])
    x = info("x", 1, bits=2)
    out = run_one("integer_softmax", [[3, 2, 0]], [x], info("y", 1, scale=1 / 13, zero=7), table=table)
    np.testing.assert_array_equal(out, [15, 11, 8])


@pytest.mark.parametrize(("bits", "classes"), [(4, 3), (8, 10), (8, 1000), (16, 50)])
def test_softmax_is_within_its_stated_error(rng, run_one, info, bits, classes):
    scale, out_scale = float(np.float32(0.07)), float(np.float32(1 / 250))
    codes = rng.integers(0, 1 << bits, (6, classes))
    table = softmax_table(scale, bits)
    y = info("y", 2, scale=out_scale)
    out = run_one("integer_softmax", [codes], [info("x", 2, bits, scale=scale, zero=1)], y, table=table)
    powers = np.exp(scale * (codes - codes.max(-1, keepdims=True)))
    real = powers / powers.sum(-1, keepdims=True) / np.float32(out_scale)
    assert np.abs(out - real).max() <= 0.5 + 2.0**-25 * 256 * classes + 1e-4


def test_a_table_goes_on_with_zeros(rng, run_one, info):
    codes = rng.integers(0, 1 << 16, (4, 9))
    table = softmax_table(0.05, 16)
    assert len(table) < 400
    whole = np.pad(table, (0, (1 << 16) - len(table)))
    x, y = info("x", 2, 16, scale=0.05), info("y", 2, scale=1 / 250)
    cut, full = (run_one("integer_softmax", [codes], [x], y, table=each) for each in (table, whole))
    np.testing.assert_array_equal(cut, full)
    assert full.max() > 0


NORM = {"length": 4, "center": 1, "gain_bits": 0, "epsilon": 0}


def test_hand_made_layer_norm(run_one, info):
    # Mean 5, standard deviation 2: (-1, -1, 1, 1), times the gains, plus the shifts.
    table = np.array([2, 3, 4, 5, 0, 1 << 16, 0, -(1 << 16)])
    y = info("y", 2, signed=True)
    out = run_one("layer_norm", [[[3, 3, 7, 7]]], [info("x", 2, zero=9)], y, attrs=NORM, table=table)
    np.testing.assert_array_equal(out, [[-2, -2, 4, 4]])


def test_hand_made_rms_norm(run_one, info):
    # Root of the mean of squares of (1, 7, 1, 7) is 5; codes are of a tenth.
    table = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    y = info("y", 2, scale=0.1)
    attrs = {**NORM, "center": 0}
    out = run_one("layer_norm", [[[2, 8, 2, 8]]], [info("x", 2, zero=1)], y, attrs=attrs, table=table)
    np.testing.assert_array_equal(out, [[2, 14, 2, 14]])


def test_a_constant_row_becomes_its_shift(run_one, info):
    table = np.array([1, 1, 1, 1, 3 << 16, 0, 0, 0])
    out = run_one("layer_norm", [[[9] * 4]], [info("x", 2)], info("y", 2), attrs=NORM, table=table)
    np.testing.assert_array_equal(out, [[3, 0, 0, 0]])


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("center", [0, 1])
@pytest.mark.parametrize("length", [1, 7, 384, 4096])
@pytest.mark.parametrize("rule", [RequantRule.EXACT, RequantRule.GEMMLOWP])
def test_layer_norm_is_within_a_small_error_of_float64(rng, run_one, info, bits, center, length, rule):
    codes = rng.integers(0, 1 << bits, (5, length))
    gains, shifts = rng.integers(-(2**15), 2**15, length), rng.integers(-(2**34), 2**34, length)
    attrs = {"length": length, "center": center, "gain_bits": 14, "epsilon": length**2}
    x, y = info("x", 2, bits, zero=3), info("y", 2, 16, signed=True, scale=2.0**-8)
    out = run_one("layer_norm", [codes], [x], y, rule, attrs=attrs, table=np.concatenate([gains, shifts]))
    values = codes - 3.0
    values = values - center * values.mean(-1, keepdims=True)
    normal = values / np.sqrt((values**2).mean(-1, keepdims=True) + 1.0)
    real = (normal * gains * 2.0**-14 + shifts * 2.0**-30) * 2.0**8
    # The normalized value has 16 bits behind the point: 2**-17 times a gain of 2, in steps of 2**-8.
    expected = np.clip(real, y.qmin, y.qmax)
    assert np.abs(out - expected).max() <= 0.5 + 2.0**-7


@pytest.mark.parametrize("rule", [RequantRule.EXACT, RequantRule.FIXED_POINT, RequantRule.GEMMLOWP])
def test_gains_far_apart_are_as_exact_as_others(rng, run_one, info, rule):
    gains = np.exp(rng.uniform(np.log(0.05), np.log(500.0), 384))
    node = gs.Node(
        "RMSNormalization",
        "norm",
        {"epsilon": 1e-9},
        [gs.Variable("x"), gs.Constant("g", gains.astype(np.float32))],
    )
    # Smoothing makes such gains for channels that hold little.
    codes = 32768 + np.rint(rng.standard_normal((5, 384)) * 50000 / gains / gains.max()).astype(np.int64)
    spec = QuantSpec(IntFormat(16, signed=False), symmetric=False)
    params = QuantParams(np.float32(1.0), np.int32(32768))
    op, attrs, table = method_step(node, TensorQuant(Role.ACT, spec).with_params(params))
    x, y = info("x", 2, 16, zero=32768), info("y", 2, 16, signed=True, scale=2.0**-12)
    out = run_one(op, [codes], [x], y, rule, attrs=attrs, table=table)
    values = codes - 32768.0
    normal = values / np.sqrt((values**2).mean(-1, keepdims=True))
    # Codes are of 2**-12; normalized values have 16 bits behind the point, gains of up to 500 have 13.
    expected = np.clip(normal * gains * 2.0**12, y.qmin, y.qmax)
    allowed = 0.6 + gains * 2.0**-5 + np.abs(normal) * 2.0**-2
    assert (np.abs(out - expected) <= allowed).all()


def test_quotients_round_half_up():
    found = rounded_quotient(np.array([3, 5, -3, -5, 7]), np.array([2, 2, 2, 2, 3]))
    np.testing.assert_array_equal(found, [2, 3, -1, -2, 2])


@pytest.mark.parametrize(
    ("op", "attrs", "table", "message"),
    [
        ("integer_softmax", {}, [ONE, 1, 2, 0], "falls from"),
        ("integer_softmax", {}, [ONE - 1, 1, 1, 0], "falls from"),
        ("integer_softmax", {}, [ONE, 1, 1, -1], "falls from"),
        ("integer_softmax", {}, [ONE, 1, 1, 0, 0], "table of 4 entries"),
        ("layer_norm", {**NORM, "length": 1}, [1 << 23, 0], "gain is larger"),
        ("layer_norm", {**NORM, "length": 1}, [1, 1 << 47], "shift is larger"),
        ("layer_norm", {**NORM, "length": 2}, [1, 1], "table of 4 entries"),
        ("layer_norm", {**NORM, "length": 1 << 15}, [1, 1], "attribute length"),
        ("layer_norm", {**NORM, "epsilon": 1 << 61}, [1, 1], "attribute epsilon"),
    ],
)
def test_tables_that_could_overflow_are_refused(run_one, info, op, attrs, table, message):
    with pytest.raises(ArtifactError, match=message):
        run_one(op, [[[1]]], [info("x", 2, bits=2)], info("y", 2), attrs=attrs, table=np.array(table))


def test_an_input_of_another_length_is_refused(run_one, info):
    table = np.zeros(8, np.int64)
    with pytest.raises(ArtifactError, match="last axis of 4"):
        run_one("layer_norm", [[[1, 2]]], [info("x", 2)], info("y", 2), attrs=NORM, table=table)


def test_a_softmax_to_floats_or_to_a_tiny_scale_is_refused(run_one, info):
    table = np.array([ONE, 0, 0, 0])
    with pytest.raises(ArtifactError, match="writes integer codes"):
        run_one("integer_softmax", [[1]], [info("x", 1, bits=2)], info("y", 1, None), table=table)
    with pytest.raises(ArtifactError, match="range of the integer division"):
        run_one("integer_softmax", [[1]], [info("x", 1, bits=2)], info("y", 1, scale=1e-9), table=table)
