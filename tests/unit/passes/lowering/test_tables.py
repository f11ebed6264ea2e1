"""Tables of functions of one element."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import LoweringError
from passes.ir.plan import Role, TensorQuant
from passes.lowering.tables import unary_table
from passes.numerics import IntFormat, PerTensor, QuantParams, QuantSpec


def quant(scale: float, zero: int, bits: int = 3) -> TensorQuant:
    params = QuantParams(np.array(scale, np.float32), np.array(zero, np.int32))
    spec = QuantSpec(IntFormat(bits, signed=False), PerTensor(), symmetric=False)
    return TensorQuant(Role.ACT, spec, params)


def test_a_leaky_relu_by_hand() -> None:
    table = unary_table("LeakyRelu", {"alpha": 0.5}, quant(1.0, 4), quant(0.5, 4))
    np.testing.assert_array_equal(table, [0, 1, 2, 3, 4, 6, 7, 7])


def test_a_sigmoid_ends_at_zero_and_one() -> None:
    table = unary_table("Sigmoid", {}, quant(4.0, 4), quant(0.125, 0, bits=4))
    np.testing.assert_array_equal(table, [0, 0, 0, 0, 4, 8, 8, 8])


def test_a_function_that_is_not_known_is_refused() -> None:
    with pytest.raises(LoweringError, match="Erf has no table"):
        unary_table("Erf", {}, quant(1.0, 0), quant(1.0, 0))
