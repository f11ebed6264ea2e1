"""Requantization by the rule of a target, in the epilogue of products and in sums."""

from __future__ import annotations

import numpy as np
import pytest

from passes.numerics import RequantRule, requantizer


@pytest.mark.parametrize("rule", [rule for rule in RequantRule if rule is not RequantRule.EXACT])
def test_the_epilogue_multiplies_as_the_rule_says(rng, run_one, info, pack, rule):
    x, w = rng.integers(0, 256, (50, 16)), rng.integers(-128, 128, (9, 16))
    y = info("y", 2, scale=0.37, zero=9)
    out = run_one("gemm", [x], [info("x", 2, scale=0.011)], y, rule, weight=pack(w, scale=(0.013,)))
    expected = requantizer(0.011 * 0.013 / 0.37, rule=rule).apply(x @ w.T, 9, 0, 255)
    np.testing.assert_array_equal(out, expected)


def test_rules_differ_where_they_should(rng, run_one, info, pack):
    x, w = rng.integers(0, 256, (400, 64)), rng.integers(-128, 128, (32, 64))
    infos, y = [info("x", 2, scale=0.011)], info("y", 2, signed=True, scale=0.37)
    results = {
        rule: run_one("gemm", [x], infos, y, rule, weight=pack(w, scale=(0.013,))) for rule in RequantRule
    }
    near = {rule: np.abs(codes.astype(int) - results["exact"]).max() for rule, codes in results.items()}
    assert max(near[rule] for rule in ("fixed_point", "gemmlowp", "float")) <= 1
    # The multiplier 3.9e-4 is 0.79 * 2**-11 and becomes 2**-11: one code in five is gained.
    assert near["power_of_two"] > 5


def test_a_sum_under_gemmlowp_rounds_each_operand(run_one, info):
    # Operands of 0.5 and 0.25 are raised by 20 bits and brought to 2 * 0.5, so 3 * 0.5 + 5 * 0.25 is exact
    # there; 2.75 / 0.5 = 5.5, and ties go up in the doubling multiplication.
    infos = [info("a", 1, scale=0.5), info("b", 1, scale=0.25)]
    out = run_one(
        "add", [[3, 0, 1], [5, 2, 0]], infos, info("y", 1, signed=True, scale=0.5, zero=1), "gemmlowp"
    )
    np.testing.assert_array_equal(out, [7, 2, 2])


@pytest.mark.parametrize("rule", ["fixed_point", "gemmlowp", "float"])
@pytest.mark.parametrize("op", ["add", "sub"])
def test_sums_stay_within_one_code_of_the_exact_ones(rng, run_one, info, op, rule):
    a, b = rng.integers(0, 256, 5000), rng.integers(-128, 128, 5000)
    infos = [info("a", 1, scale=0.0123, zero=77), info("b", 1, signed=True, scale=0.0071, zero=4)]
    y = info("y", 1, signed=True, scale=0.021, zero=-11)
    exact, ruled = (run_one(op, [a, b], infos, y, name).astype(int) for name in ("exact", rule))
    assert np.abs(exact - ruled).max() <= 1
    assert (exact != ruled).mean() < 0.01


def test_a_sum_with_power_of_two_multipliers_is_a_sum_of_shifts(run_one, info):
    infos = [info("a", 1, scale=0.5), info("b", 1, scale=0.25)]
    out = run_one("add", [[3, 4], [2, 7]], infos, info("y", 1, scale=1.0), "power_of_two")
    # 3/2 + 2/4 = 2; 4/2 + 7/4 = 3.75.
    np.testing.assert_array_equal(out, [2, 4])


def test_a_sum_in_float_is_that_of_onnx_runtime(rng, run_one, info):
    onnxruntime = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    types = {"a": TensorProto.UINT8, "b": TensorProto.UINT8, "y": TensorProto.UINT8}
    values = {name: helper.make_tensor_value_info(name, kind, [4096]) for name, kind in types.items()}
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT if name[1:] == "s" else TensorProto.UINT8, [], [value])
        for name, value in {"as": 0.0123, "az": 77, "bs": 0.0071, "bz": 4, "ys": 0.021, "yz": 100}.items()
    ]
    node = helper.make_node(
        "QLinearAdd", ["a", "as", "az", "b", "bs", "bz", "ys", "yz"], ["y"], domain="com.microsoft"
    )
    graph = helper.make_graph([node], "g", [values["a"], values["b"]], [values["y"]], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    a, b = rng.integers(0, 256, (2, 4096)).astype(np.uint8)
    infos = [
        info("a", 1, scale=float(np.float32(0.0123)), zero=77),
        info("b", 1, scale=float(np.float32(0.0071)), zero=4),
    ]
    y = info("y", 1, scale=float(np.float32(0.021)), zero=100)
    ours, theirs = run_one("add", [a, b], infos, y, "float"), session.run(None, {"a": a, "b": b})[0]
    # Vector units of the runtime multiply and add in one rounding where they can.
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert (ours != theirs).mean() < 1e-3


def test_a_sum_of_16_bits_under_gemmlowp_stays_in_32_bits(run_one, info):
    a = np.array([3, 2048, 20_000, -30_000], np.int16)
    operands = [info(name, 1, bits=16, signed=True, scale=0.5) for name in "ab"]
    out = run_one("add", [a, a], operands, info("y", 1, bits=16, signed=True, scale=1.0), "gemmlowp")
    np.testing.assert_array_equal(out, a)


def test_codes_get_new_parameters_under_float_by_way_of_real_numbers(run_one, info):
    # 15 * 0.01 is 0.14999999 in float32, which is less than 7.5 * 0.02; 15 times 0.01 / 0.02 would be 7.5.
    out = run_one(
        "requantize", [[14, 15, 16]], [info("x", 1, scale=0.01)], info("y", 1, scale=0.02, zero=3), "float"
    )
    np.testing.assert_array_equal(out, [10, 10, 11])
