"""What lowering writes loads in ONNX Runtime, and lint finds no error in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto, read_model
from passes.ir.setup import quantizer_setup
from passes.lint.lint import lint
from passes.lint.runtime import Runtime
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq
from passes.transform.canonicalize import Canonicalize

NETS = ("conv", "depthwise", "grouped", "transposed", "pooled", "gemm", "matmul")
PAIRS = (
    (8, 8),
    (4, 8),
    (4, 4),
    (2, 2),
    (3, 5),
    (8, 4),
    (16, 16),
    (2, 8),
    (2, 4),
    (8, 16),
    (4, 2),
    (8, 32),
    (4, 32),
)
forms = pytest.mark.parametrize("form", [form for form in Form if form is not Form.QONNX])


@forms
@pytest.mark.parametrize("net", NETS)
def test_no_errors_in_uniform_plans(
    net: str, form: Form, quantized: Callable[..., Model], run: Any, found: Any
) -> None:
    for weight_bits, act_bits in PAIRS:
        model = quantized(net, weight_bits, act_bits)
        proto = emit_qdq(model, quantizer_setup(model.graph), form)
        assert not found(proto, "error"), (weight_bits, act_bits)
        assert isinstance(loaded(proto, net, run), np.ndarray), (weight_bits, act_bits)


@forms
@pytest.mark.parametrize("group_size", [16, 32])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("act_bits", [8, 16, 32])
def test_no_errors_in_plans_with_groups(
    form: Form, group_size: int, bits: int, act_bits: int, assigned: Any, net: Any, run: Any, found: Any
) -> None:
    made = net(4, 64)
    y = made.op("Relu", made.op("MatMul", "x", made.floats(64, 24)))
    y = made.op("Gemm", y, made.floats(24, 6), made.floats(6))
    proto = made.model(y, 17, 8)
    model = opened(proto)
    x = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    assigned(model, x, Precision(bits, act_bits), group_size)
    proto = emit_qdq(model, quantizer_setup(model.graph), form)
    assert not found(proto, "error")
    assert isinstance(run(proto, Level.DEFAULT), np.ndarray)


@forms
def test_no_errors_in_random_plans(form: Form, quantized: Callable[..., Model], run: Any, found: Any) -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        net, seed = str(rng.choice(NETS)), int(rng.integers(1000))
        bits = [int(rng.choice([2, 3, 4, 6, 8])), int(rng.choice([2, 4, 8, 16]))]
        model = quantized(net, *bits, seed)
        proto = emit_qdq(model, quantizer_setup(model.graph), form)
        assert not found(proto, "error"), (net, bits)
        assert isinstance(loaded(proto, net, run), np.ndarray), (net, bits)


@forms
def test_qcdq_and_the_oldest_runtimes(form: Form, quantized: Callable[..., Model]) -> None:
    model = quantized("conv", 4, 4)
    proto = emit_qdq(model, quantizer_setup(model.graph), form)
    findings = lint(proto, Runtime((1, 23)))
    assert not [it for it in findings if it.rule.severity == "error"]


@pytest.mark.needs_data
@forms
@pytest.mark.parametrize("name", ["kws_dscnn_mlperf", "mlperf_resnet8_cifar10", "fsdd_bigru"])
def test_no_errors_in_real_networks(
    name: str, form: Form, shared_data: Path, assigned: Any, run: Any, found: Any
) -> None:
    model = read_model(shared_data / "models" / f"{name}.onnx")
    Canonicalize().run(model, PassContext(load_target("generic")))
    (x,) = model.graph.inputs
    x.name = "x"
    shape = [size if isinstance(size, int) else 2 + 6 * (axis > 0) for axis, size in enumerate(x.shape)]
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for bits in ((8, 8), (4, 4), (2, 8)):
        assigned(model, data, Precision(*bits))
        proto = emit_qdq(model, quantizer_setup(model.graph), form)
        assert not found(proto, "error"), bits
        assert isinstance(Session(proto, threads=1).run({"x": data})[0], np.ndarray), bits


def opened(proto: onnx.ModelProto) -> Model:
    return model_from_proto(proto, "test", "0")


def loaded(proto: onnx.ModelProto, net: str, run: Any) -> Any:
    """The result at the default level for a batch of three."""
    shape = [3, 12] if net in ("gemm", "matmul") else [3, 3, 8, 8]
    for dim, size in zip(proto.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    return run(proto, Level.DEFAULT)
