"""Tables of softmax and normalizations, and the codes of constants."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from passes.errors import LoweringError
from passes.ir.plan import Role, TensorQuant
from passes.lowering.methods import constant_codes, method_step, softmax_table
from passes.numerics import IntFormat, PerTensor, QuantParams, QuantSpec

SPEC = QuantSpec(IntFormat(8, signed=False), PerTensor(), symmetric=False)


def source(scale: float) -> TensorQuant:
    params = QuantParams(np.array(scale, np.float32), np.array(3, np.int32))
    return TensorQuant(Role.ACT, SPEC, params)


def norm(op: str, gain: list[float], shift: list[float] | None, **attrs: float) -> gs.Node:
    vectors = [np.array(values, np.float32) for values in (gain, shift) if values is not None]
    inputs = [gs.Variable("x", np.float32, ["N", len(gain)])]
    inputs += [gs.Constant(f"c{index}", values) for index, values in enumerate(vectors)]
    return gs.Node(op, "norm", attrs, inputs, [gs.Variable("y", np.float32)])


def test_softmax_table_starts_at_one_and_falls() -> None:
    table = softmax_table(float(np.log(2)), 3)
    np.testing.assert_array_equal(table, 2 ** np.arange(24, 16, -1))


def test_softmax_table_ends_with_its_first_zero() -> None:
    # 2**24 halves 24 times before it is 1, and is half of that, rounded to even, the time after.
    table = softmax_table(float(np.log(2)), 16)
    np.testing.assert_array_equal(table, [*(2 ** np.arange(24, -1, -1)), 0])


def test_layer_normalization_in_units_of_its_gain() -> None:
    # The largest gain, 0.75, takes 22 bits: units of 2**-22, shifts of 2**-38.
    node = norm("LayerNormalization", [0.75, -0.5], [1.0, 0.0], epsilon=0.25)
    op, attrs, table = method_step(node, source(0.5))
    assert (op, attrs) == ("layer_norm", {"length": 2, "center": 1, "gain_bits": 22, "epsilon": 4})
    np.testing.assert_array_equal(table, [3 << 20, -(2 << 20), 2**38, 0])


def test_a_large_shift_leaves_gains_fewer_bits() -> None:
    # 2**16 takes 17 bits before the point, and so 13 of 46 - 16 are left behind it.
    _, attrs, table = method_step(norm("LayerNormalization", [1.0, 0.5], [2.0**16, 0.0]), source(0.5))
    assert (attrs["gain_bits"], table.tolist()) == (13, [2**13, 2**12, 2**45, 0])


def test_rms_normalization_takes_no_mean_off_and_has_no_shift() -> None:
    _, attrs, table = method_step(norm("RMSNormalization", [2.0], None), source(0.5))
    assert (attrs["center"], attrs["gain_bits"], table.tolist()) == (0, 20, [2**21, 0])


@pytest.mark.parametrize(
    ("gain", "shift", "scale"),
    [([1e7], [0.0], 0.5), ([1.0], [2e9], 0.5), ([1.0], [float("nan")], 0.5), ([1.0], [0.0], 1e-13)],
)
def test_numbers_that_do_not_fit_are_refused(gain: list[float], shift: list[float], scale: float) -> None:
    with pytest.raises(LoweringError, match="norm"):
        method_step(norm("LayerNormalization", gain, shift), source(scale))


def test_products_of_constants_with_sixteen_bits_have_room_in_a_register() -> None:
    codes, scale = constant_codes(np.array([-3.0, 0.0, 1.5], np.float32))
    assert 3.0 / 16383 <= scale <= 1.125 * 3.0 / 16383
    np.testing.assert_allclose(codes * scale, [-3.0, 0.0, 1.5], atol=scale / 2)
    assert np.abs(codes).max() * 65535 < 1 << 31


def test_constants_of_zeros_and_of_infinities() -> None:
    codes, _ = constant_codes(np.zeros(3, np.float32))
    assert not codes.any()
    with pytest.raises(LoweringError, match="finite"):
        constant_codes(np.array([1.0, np.inf], np.float32))
