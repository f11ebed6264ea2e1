"""Bounds of accumulators: by hand, at the edge of 32 bits, and refused where a sum could overflow."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from hwmodels import load_target
from passes.analysis.accumulators import Accumulators
from passes.api import PassContext
from passes.errors import LoweringError, PreconditionError
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import QuantPlan, Role, TensorQuant
from passes.ir.setup import QuantizerSetup, quantizer_setup
from passes.lowering.accumulators import AccumulatorBound, accumulator_bounds, check_accumulators
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from passes.numerics import IntFormat, PerTensor, QuantParams, QuantSpec

GEMM = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N,8] x) => (float[N,2] y)
<float[8,2] w = {{{weights}}}>
{{ [gemm] y = MatMul(x, w) }}
"""
LARGEST = 2**31 - 1


def quant(role: Role, bits: int, *, signed: bool, zero: int = 0) -> TensorQuant:
    params = QuantParams(np.array(1.0, np.float32), np.array(zero, np.int32))
    return TensorQuant(role, QuantSpec(IntFormat(bits, signed), PerTensor(), symmetric=False), params)


def gemm(weights: list[int], *, zero: int = 0, bias: tuple[float, ...] = (), bits: int = 8) -> Model:
    """A product of 8 codes with weights that are their own codes; the second channel is all ones."""
    values = ", ".join(f"{weight}.0, 1.0" for weight in weights)
    model = model_from_text(GEMM.format(weights=values))
    tensors = {
        "x": quant(Role.ACT, bits, signed=False, zero=zero),
        "w": quant(Role.WEIGHT, 8, signed=True),
    }
    model.plan = QuantPlan({}, tensors, {"gemm": bias} if bias else {})
    return model


def only(model: Model, setup: QuantizerSetup | None = None) -> AccumulatorBound:
    [bound] = accumulator_bounds(model, setup or quantizer_setup(model.graph))
    return bound


def test_positive_and_negative_weights_meet_opposite_ends_of_the_codes() -> None:
    bound = only(gemm([30, -20, 0, 0, 0, 0, 0, 0], zero=100))
    assert (bound.lowest, bound.highest, bound.channel) == (-100 * 30 - 155 * 20, 155 * 30 + 100 * 20, 0)
    assert only(gemm([0] * 8, zero=100)).channel == 1


def test_a_bias_widens_one_end_only() -> None:
    assert only(gemm([50] * 8, bias=(-7.0, 0.0))).lowest == -7
    assert only(gemm([50] * 8, bias=(-7.0, 0.0))).highest == 8 * 50 * 255


@pytest.mark.parametrize(("extra", "needed"), [(0, 32), (1, 33)])
def test_a_sum_that_misses_int32_by_one(extra: int, needed: int) -> None:
    products = 8 * 127 * 255
    positive = gemm([127] * 8, bias=(float(LARGEST - products + extra), 0.0))
    negative = gemm([-127] * 8, bias=(float(products - LARGEST - 1 - extra), 0.0))
    assert only(positive).highest == LARGEST + extra
    assert only(negative).lowest == -LARGEST - 1 - extra
    assert only(positive).needed == only(negative).needed == needed


@pytest.mark.parametrize("form", ["qdq", "qcdq", "packed"])
def test_every_form_refuses_what_could_overflow(form: str) -> None:
    def lower(model: Model) -> object:
        setup = quantizer_setup(model.graph, load_target("bitfusion"))
        if form == "packed":
            return emit_packed(model, setup, Origin("test", "bitfusion", "half_even"))
        return emit_qdq(model, setup, Form(form))

    room = float(LARGEST - 8 * 127 * 255)
    assert lower(gemm([127] * 8, bias=(room, 0.0)))
    with pytest.raises(LoweringError, match=r"layer gemm \(MatMul\): sums of channel 0 .* 33 bits.* has 32"):
        lower(gemm([127] * 8, bias=(room + 1, 0.0)))


def test_a_target_with_wide_sums_takes_16_bits_where_another_refuses() -> None:
    model = gemm([127] * 8, bits=16, bias=(float(LARGEST), 0.0))
    wide, narrow = (quantizer_setup(model.graph, load_target(name)) for name in ("generic", "cortex-m4"))
    check_accumulators(model, wide, kernel_bits=32)
    assert (only(model, wide).available, only(model, narrow).available) == (64, 32)
    with pytest.raises(LoweringError, match="wider accumulator"):
        check_accumulators(model, narrow)


OTHERS = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[2,3,4,4] a, float[2,3,4,4] b) => (float[2,3,4,4] y)
{
    [sum] s = Add(a, b)
    [times] t = Mul(s, a)
    [mean] m = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (t)
    [product] y = MatMul(m, b)
}
"""


def test_sums_without_weights() -> None:
    model = model_from_text(OTHERS)
    tensors = {name: quant(Role.ACT, 4, signed=False, zero=5) for name in "abstm"}
    model.plan = QuantPlan({}, tensors)
    found = accumulator_bounds(model, quantizer_setup(model.graph))
    # Codes 0..15 less 5 lie in -5..10, their products in -50..100.
    assert {bound.name: (bound.lowest, bound.highest) for bound in found} == {
        "sum": (-10, 20),
        "times": (-50, 100),
        "mean": (-45, 90),
        "product": (4 * -50, 4 * 100),
    }


def test_a_product_whose_depth_is_not_known_has_no_bound() -> None:
    text = OTHERS.replace("float[2,3,4,4]", "float[N,M]").replace("[mean]", "#").replace("(m, b)", "(t, b)")
    lines = [line for line in text.splitlines() if "#" not in line]
    model = model_from_text("\n".join(lines))
    model.plan = QuantPlan({}, {name: quant(Role.ACT, 4, signed=False) for name in "abst"})
    bounds = accumulator_bounds(model, quantizer_setup(model.graph))
    assert [bound.name for bound in bounds] == ["sum", "times"]


def test_the_analysis_needs_scales(ctx: PassContext) -> None:
    model = gemm([1] * 8)
    assert ctx.get(Accumulators(), model) == (only(model),)
    model.plan = QuantPlan({}, {"x": TensorQuant(Role.ACT, model.plan.tensors["x"].spec)})
    with pytest.raises(PreconditionError, match="assign-scales"):
        PassContext(ctx.target).get(Accumulators(), model)


def test_bounds_need_little_more_than_the_weights() -> None:
    side = 1024
    model = gemm([0] * 8)
    weight = np.random.default_rng(0).integers(-127, 128, (side, side)).astype(np.float32)
    model.graph.tensors()["w"].values = weight
    model.graph.inputs[0].shape = ["N", side]
    setup = quantizer_setup(model.graph)
    tracemalloc.start()
    accumulator_bounds(model, setup)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3 * weight.nbytes
