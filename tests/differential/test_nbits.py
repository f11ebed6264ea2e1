"""MatMulNBits against the same plan as blocked DequantizeLinear, and against products by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwmodels import Precision, load_target
from passes.api import PassContext
from passes.execution.collect import HISTOGRAMS
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.session import Level, Session
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto
from passes.ir.plan import Role, TensorQuant
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.ir.weight_groups import with_groups
from passes.lowering.encoding import Form
from passes.lowering.nbits import blocks_of, has_blocks
from passes.lowering.qdq import emit_qdq
from passes.numerics import IntFormat, PerChannel, PerGroup, QuantParams, QuantSpec, dequantize, fake_quantize
from passes.transform.assign_scales import AssignScales
from passes.transform.gptq import Gptq

SAMPLES = 24


def network(depth: int, channels: int, op: str) -> onnx.ModelProto:
    """A matrix product, with a bias where the operator has one."""
    rng = np.random.default_rng(depth + channels)
    shape = (channels, depth) if op == "transposed" else (depth, channels)
    constants = [numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), "w")]
    constants.append(numpy_helper.from_array(rng.standard_normal(channels).astype(np.float32), "bias"))
    if op == "matmul":
        node = helper.make_node("MatMul", ["x", "w"], ["y"], name="layer")
    else:
        node = helper.make_node(
            "Gemm", ["x", "w", "bias"], ["y"], name="layer", transB=int(op == "transposed")
        )
    ends = [helper.make_tensor_value_info(n, 1, ["N", size]) for n, size in (("x", depth), ("y", channels))]
    graph = helper.make_graph([node], "net", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def context(depth: int) -> PassContext:
    x = np.random.default_rng(5).standard_normal((SAMPLES, depth)).astype(np.float32)
    data = Dataset(
        ArraySource(("x",), SAMPLES, None, {"x": x}),
        (InputSpec("x", (1, depth), np.dtype(np.float32)),), ("x",), None, SAMPLES, "test",
    )  # fmt: skip
    target = load_target("generic")
    return PassContext(target, calibration=data, workers=1, observes=frozenset({HISTOGRAMS}))


def planned(op: str, depth: int, channels: int, bits: Precision, group: int) -> tuple[Model, PassContext]:
    model, ctx = model_from_proto(network(depth, channels, op), "net", "0" * 64), context(depth)
    setup = quantizer_setup(model.graph, ctx.target)
    model.plan = with_groups(plan_of_bits(setup, {"layer": bits}), setup, group)
    AssignScales().run(model, ctx)
    return model, ctx


def lowered(model: Model, ctx: PassContext, form: Form) -> onnx.ModelProto:
    return emit_qdq(model, quantizer_setup(model.graph, ctx.target), form)


def run(proto: onnx.ModelProto, ctx: PassContext, level: Level = Level.BASIC) -> np.ndarray:
    session = Session(proto, level, 1)
    return np.concatenate([session.run(feeds)[0] for feeds in ctx.calibration.batches(8)])


def agree(model: Model, ctx: PassContext, level: Level = Level.BASIC) -> onnx.ModelProto:
    """Both forms compute the same, up to the order in which floats are added; returns the one with blocks."""
    nbits = lowered(model, ctx, Form.NBITS)
    expected = run(lowered(model, ctx, Form.QDQ), ctx)
    found = run(nbits, ctx, level)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    return nbits


def operators(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("op", ["matmul", "gemm", "transposed"])
@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize(
    ("depth", "channels", "group"), [(64, 32, 16), (96, 7, 32), (130, 5, 64), (48, 6, 0)]
)
def test_both_forms_of_a_plan_agree(
    op: str, bits: int, depth: int, channels: int, group: int, level: Level
) -> None:
    nbits = agree(*planned(op, depth, channels, Precision(bits, 32), group), level)
    assert operators(nbits) == ["MatMulNBits"] + ["Add"] * (op != "matmul")
    sizes = {item.name: item.i for item in nbits.graph.node[0].attribute}
    assert sizes["bits"] == min(width for width in (2, 4, 8) if width >= bits)
    assert sizes["block_size"] == (group or 64)
    assert (sizes["K"], sizes["N"]) == (depth, channels)


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_every_size_of_blocks_runs(bits: int, size: int) -> None:
    model, ctx = planned("matmul", 2 * size + 3, 9, Precision(bits, 32), 0)
    layer, quant = layer_and_quant(model, ctx)
    spec = replace(quant.spec, granularity=PerGroup(0, size))
    scale = np.random.default_rng(1).uniform(0.1, 1, (3, 9)).astype(np.float32)
    params = QuantParams(scale, np.zeros(scale.shape, np.int32))
    model.plan.tensors["w"] = TensorQuant(Role.WEIGHT, spec, params)
    assert blocks_of(layer, model.plan.tensors["w"]).codes.shape == (9, 3, size * bits // 8)
    x = np.concatenate([feeds["x"] for feeds in ctx.calibration.batches(8)])
    expected = x @ fake_quantize(layer.weight_values(), spec, params)
    np.testing.assert_allclose(run(lowered(model, ctx, Form.NBITS), ctx), expected, rtol=1e-4, atol=1e-3)


def layer_and_quant(model: Model, ctx: PassContext) -> tuple:
    (layer,) = quantizer_setup(model.graph, ctx.target).layers
    return layer, model.plan.tensors["w"]


def test_quantized_activations_stay_quantized() -> None:
    model, ctx = planned("gemm", 64, 16, Precision(4, 8), 32)
    nbits = agree(model, ctx)
    assert operators(nbits).count("QuantizeLinear") == 1


def test_codes_chosen_by_data_are_those_that_are_stored() -> None:
    model, ctx = planned("transposed", 64, 16, Precision(3, 32), 16)
    nearest = lowered(model, ctx, Form.NBITS)
    Gptq().run(model, ctx)
    assert lowered(model, ctx, Form.NBITS) != nearest
    agree(model, ctx)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_zero_points_are_stored_where_there_are_any(bits: int) -> None:
    model, ctx = planned("transposed", 40, 6, Precision(bits, 32), 0)
    layer, _ = layer_and_quant(model, ctx)
    rng = np.random.default_rng(0)
    fmt = IntFormat(bits, signed=False)
    spec = QuantSpec(fmt, PerChannel(0), symmetric=False)
    params = QuantParams(np.full(6, 0.125, np.float32), rng.integers(0, fmt.qmax + 1, 6).astype(np.int32))
    codes = rng.integers(0, fmt.qmax + 1, (6, 40)).astype(np.int16)
    quant = TensorQuant(Role.WEIGHT, spec, params, codes)
    model.plan.tensors["w"] = quant
    proto = lowered(model, ctx, Form.NBITS)
    assert blocks_of(layer, quant).zero is not None
    x = np.concatenate([feeds["x"] for feeds in ctx.calibration.batches(8)])
    bias = numpy_helper.to_array(network(40, 6, "transposed").graph.initializer[1])
    expected = x @ dequantize(codes, spec, params).T + bias
    np.testing.assert_allclose(run(proto, ctx), expected, rtol=1e-4, atol=1e-3)


def test_codes_by_hand() -> None:
    """Two channels of three inputs at 4 bits, and zeros up to the end of the block."""
    model, ctx = planned("transposed", 3, 2, Precision(4, 32), 0)
    layer, quant = layer_and_quant(model, ctx)
    codes = np.array([[-8, 0, 7], [1, -1, 2]], np.int16)
    blocks = blocks_of(layer, quant.with_codes(quant.params, codes))
    assert blocks.block_size == 16
    assert blocks.codes[:, 0, :3].tolist() == [[0x80, 0x8F, 0x88], [0x79, 0x8A, 0x88]]
    assert blocks.zero is None


def test_wide_weights_keep_their_other_form() -> None:
    model, ctx = planned("matmul", 32, 8, Precision(16, 32), 0)
    assert not has_blocks(*layer_and_quant(model, ctx))
    assert "MatMulNBits" not in operators(agree(model, ctx))
