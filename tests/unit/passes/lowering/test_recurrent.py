"""Recurrent layers as steps: biases, widths and the bounds of both sums, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import LoweringError
from passes.ir.layers import Layer
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import QuantPlan, Role, TensorQuant
from passes.ir.setup import QuantizerSetup, quantizer_setup
from passes.lowering.accumulators import accumulator_bounds
from passes.lowering.recurrent import gate_biases, sigmoid_table, state_bits
from passes.numerics import IntFormat, PerTensor, QuantParams, QuantSpec

CELL = """
<ir_version: 8, opset_import: ["" : 14]>
net (float[T,N,2] x) => (float[T,1,N,1] y)
<float[1,1,2] w = {{3.0, -2.0}}, float[1,1,1] r = {{-5.0}}, float[1,2] b = {{{bias}, -0.5}}>
{{ [cell] y = RNN<hidden_size = 1>(x, w, r, b) }}
"""


def quant(role: Role, bits: int, *, signed: bool) -> TensorQuant:
    params = QuantParams(np.array(1.0, np.float32), np.array(0, np.int32))
    return TensorQuant(role, QuantSpec(IntFormat(bits, signed), PerTensor(), symmetric=False), params)


def cell(bias: str = "1.0", act_bits: int = 8) -> tuple[Model, QuantizerSetup, Layer]:
    model = model_from_text(CELL.format(bias=bias))
    tensors = {"x": quant(Role.ACT, act_bits, signed=False)}
    tensors |= dict.fromkeys(("w", "r"), quant(Role.WEIGHT, 8, signed=True))
    model.plan = QuantPlan({}, tensors)
    setup = quantizer_setup(model.graph)
    return model, setup, setup.layers[0]


def test_the_wider_of_both_sums_is_bounded() -> None:
    """Over the input 3 * 255 and -2 * 255; over the state, of codes to 127, 5 * 127 either way."""
    model, setup, _ = cell()
    (bound,) = accumulator_bounds(model, setup)
    assert (bound.name, bound.op, bound.channel, bound.lowest, bound.highest) == ("cell", "RNN", 0, -510, 765)


@pytest.mark.parametrize(("act_bits", "state"), [(8, 8), (4, 4), (1, 2)])
def test_the_state_has_the_width_of_the_input_but_two_bits(act_bits: int, state: int) -> None:
    model, _, layer = cell(act_bits=act_bits)
    assert state_bits(layer, model.plan) == state


def test_biases_count_in_the_unit_of_gates() -> None:
    np.testing.assert_array_equal(gate_biases(cell()[2]), [1 << 15, -1 << 14])


@pytest.mark.parametrize("bias", ["70000.0", "-1e30"])
def test_a_bias_far_beyond_any_gate_is_refused(bias: str) -> None:
    with pytest.raises(LoweringError, match="a bias is not finite or exceeds"):
        gate_biases(cell(bias)[2])


def test_the_table_holds_sigmoids() -> None:
    table = sigmoid_table()
    assert (len(table), table[0], table[-1]) == (513, 1 << 19, 1 << 20)
    assert table[32] == round((1 << 20) / (1 + np.exp(-1)))
