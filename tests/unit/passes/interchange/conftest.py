"""A convolution behind Q/DQ pairs, by hand, and ways to change it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto
from passes.ir.plan import Role, TensorQuant
from passes.numerics import Granularity, IntFormat, PerChannel, PerTensor, QuantParams, QuantSpec

CONV = """
<ir_version: 10, opset_import: ["" : 21]>
quantized (float[1,1,4,4] x) => (float[1,2,4,4] y) {
    xq = QuantizeLinear (x, xs, xz)
    xd = DequantizeLinear (xq, xs, xz)
    wd = DequantizeLinear <axis = 0> (w_quantized, ws, wz)
    bd = DequantizeLinear <axis = 0> (b_quantized, bs)
    c = Conv (xd, wd, bd)
    r = Relu (c)
    rq = QuantizeLinear (r, rs, rz)
    y = DequantizeLinear (rq, rs, rz)
}
"""
Arrays = dict[str, np.ndarray]


@pytest.fixture
def arrays() -> Arrays:
    """Constants of the convolution: scales that are not short, codes of eight bits."""
    scale = np.float32(0.1), np.array([0.3, 0.7], np.float32)
    return {
        "xs": np.array(scale[0]),
        "xz": np.array(13, np.uint8),
        "w_quantized": np.array([-128, 127], np.int8).reshape(2, 1, 1, 1),
        "ws": scale[1],
        "wz": np.zeros(2, np.int8),
        "b_quantized": np.array([5, -7], np.int32),
        "bs": scale[0] * scale[1],
        "rs": np.array(np.float32(0.35)),
        "rz": np.array(0, np.uint8),
    }


@pytest.fixture
def conv() -> str:
    """The text of the convolution."""
    return CONV


def quant(role: Role, fmt: IntFormat, granularity: Granularity, scale: object, zero: object) -> TensorQuant:
    spec = QuantSpec(fmt, granularity, symmetric=fmt.signed)
    return TensorQuant(role, spec, QuantParams(np.float32(scale), np.int32(zero)))


@pytest.fixture
def tensors() -> dict[str, TensorQuant]:
    """Activations with and without zero point, and a weight."""
    return {
        "act": quant(Role.ACT, IntFormat(8, signed=False), PerTensor(), 0.5, 3),
        "signed": quant(Role.ACT, IntFormat(16), PerTensor(), 0.25, 0),
        "weight": quant(Role.WEIGHT, IntFormat(4), PerChannel(0), [0.5, 0.75], [0, 0]),
    }


@pytest.fixture
def tensor() -> Callable[..., TensorQuant]:
    """Make the quantization of a tensor."""
    return quant


Build = Callable[[str, Arrays], Model]


@pytest.fixture
def build() -> Build:
    """Make a model of text and constants."""

    def made(text: str, constants: Arrays) -> Model:
        proto = parser.parse_model(text)
        read = {name for node in proto.graph.node for name in node.input}
        proto.graph.initializer.extend(
            numpy_helper.from_array(values, name) for name, values in constants.items() if name in read
        )
        return model_from_proto(proto, "hand.onnx", "0" * 64)

    return made


@pytest.fixture
def outputs() -> Callable[[onnx.ModelProto, Arrays], np.ndarray]:
    """Run a model at the level that keeps its arithmetic; return its first result."""
    from passes.execution.session import Level, Session

    return lambda proto, feeds: np.asarray(Session(proto, Level.BASIC, 1).run(feeds)[0])
