"""Both spellings of a quantized model load in ONNX Runtime, agree with each other and follow the plan."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import opset_of, to_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq

Quantize = Callable[..., Model]
Samples = Callable[[str], np.ndarray]

NETS = ("conv", "depthwise", "grouped", "transposed", "pooled", "gemm", "matmul")
PAIRS = ((8, 8), (4, 8), (4, 4), (2, 2), (3, 5), (8, 4), (16, 16), (1, 8), (2, 8), (8, 16), (4, 2), (6, 1))
bits_of_all_layers = pytest.mark.parametrize("bits", PAIRS, ids=lambda bits: f"w{bits[0]}a{bits[1]}")
FLIPPED = 0.15
"""Share of outputs that one code, rounded the other way in the layer before, may reach."""


def lowered(model: Model, form: Form) -> onnx.ModelProto:
    return emit_qdq(model, quantizer_setup(model.graph), form)


def run(proto: onnx.ModelProto, level: Level, feeds: np.ndarray) -> np.ndarray:
    return Session(proto, level, threads=1).run({"x": feeds})[0]


@bits_of_all_layers
@pytest.mark.parametrize("net", NETS)
def test_both_forms_compute_the_same(
    net: str, bits: tuple[int, int], quantized: Quantize, samples: Samples
) -> None:
    model, feeds = quantized(net, *bits), samples(net)
    native, boxed = (run(lowered(model, form), Level.BASIC, feeds) for form in (Form.QDQ, Form.QCDQ))
    np.testing.assert_allclose(native, boxed, rtol=0, atol=1e-6 * np.abs(boxed).max())


@pytest.mark.parametrize("form", [Form.QDQ, Form.QCDQ])
@bits_of_all_layers
@pytest.mark.parametrize("net", NETS)
def test_integer_kernels_follow_the_file(
    net: str, bits: tuple[int, int], form: Form, quantized: Quantize, samples: Samples
) -> None:
    model, feeds = quantized(net, *bits), samples(net)
    exact, fast = (run(lowered(model, form), level, feeds) for level in Level)
    error = np.abs(exact - fast) / np.abs(exact).max()
    assert (error > 1e-5).mean() <= FLIPPED
    assert error.max() < 0.1


@pytest.mark.parametrize(("bits", "tolerance"), [((16, 16), 1e-2), ((8, 8), 0.1)])
@pytest.mark.parametrize("net", NETS)
def test_many_bits_come_close_to_float(
    net: str, bits: tuple[int, int], tolerance: float, quantized: Quantize, samples: Samples
) -> None:
    model, feeds = quantized(net, *bits), samples(net)
    expected = run(to_proto(model), Level.BASIC, feeds)
    found = run(lowered(model, Form.QDQ), Level.BASIC, feeds)
    assert np.abs(expected - found).max() < tolerance * np.abs(expected).max()
    assert not np.array_equal(expected, found)


@pytest.mark.parametrize(
    ("bits", "form", "opset"),
    [
        ((8, 8), Form.QDQ, 13),
        ((4, 8), Form.QDQ, 21),
        ((2, 8), Form.QDQ, 25),
        ((8, 16), Form.QDQ, 21),
        ((2, 2), Form.QCDQ, 13),
        ((16, 8), Form.QCDQ, 21),
    ],
)
def test_the_lowest_opset_with_the_types_is_used(
    bits: tuple[int, int], form: Form, opset: int, quantized: Quantize
) -> None:
    proto = lowered(quantized("conv", *bits), form)
    assert opset_of(proto) == opset
    onnx.checker.check_model(proto, full_check=True)


@pytest.mark.parametrize("bits", [(2, 2), (3, 3), (4, 4), (5, 6)])
def test_activations_stay_within_their_bits(
    bits: tuple[int, int], quantized: Quantize, samples: Samples
) -> None:
    proto = lowered(quantized("conv", *bits), Form.QCDQ)
    codes = [node.input[0] for node in proto.graph.node if node.name in ("x.dequantize", "t1.dequantize")]
    for name in codes:
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None))
    inside = samples("conv") * 3
    results = Session(proto, Level.BASIC, threads=1).run({"x": inside}, codes)
    assert [int(array.max()) for array in results] == [2 ** bits[1] - 1] * len(codes)
    assert len(codes) == 2


@pytest.mark.parametrize("form", [Form.QDQ, Form.QCDQ])
def test_lowering_leaves_graph_and_plan_alone(form: Form, quantized: Quantize) -> None:
    model, twin = quantized("grouped", 4, 4), quantized("grouped", 4, 4)
    first = lowered(model, form).SerializeToString(deterministic=True)
    assert lowered(model, form).SerializeToString(deterministic=True) == first
    assert to_proto(model).SerializeToString() == to_proto(twin).SerializeToString()
    assert model.plan == twin.plan
