"""Models that ONNX Runtime's tool quantized, and QONNX in its own executor, against what is read of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from passes.execution.session import Level, Session
from passes.interchange.extract import extract
from passes.ir.onnx_io import read_model, to_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq

quantization = pytest.importorskip("onnxruntime.quantization")


class Reader(quantization.CalibrationDataReader):
    """One batch."""

    def __init__(self, feeds: dict[str, np.ndarray]) -> None:
        self._batches = iter([feeds])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def quantized(source: Path, out: Path, feeds: dict[str, np.ndarray], **options: object) -> Path:
    """Quantize a model statically, with 8 bits."""
    pre = out.with_suffix(".pre.onnx")
    quantization.shape_inference.quant_pre_process(source, pre, skip_symbolic_shape=True)
    quantization.quantize_static(pre, out, Reader(feeds), weight_type=quantization.QuantType.QInt8, **options)
    return out


def outputs(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(Session(proto, Level.BASIC, 1).run(feeds)[0])


@pytest.fixture
def images(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"input": rng.normal(size=(8, 3, 32, 32)).astype(np.float32)}


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_resnet_of_pairs_computes_the_same(shared_data, tmp_path, images, per_channel):
    source = shared_data / "models" / "resnet20_cifar10.onnx"
    file = quantized(source, tmp_path / "q.onnx", images, per_channel=per_channel)
    model = read_model(file)
    found = extract(model)
    assert {str(it.precision) for it in found.model.plan.layers.values()} == {"w8a8"}
    for form in (Form.QDQ, Form.QCDQ):
        again = emit_qdq(found.model, quantizer_setup(found.model.graph), form)
        assert np.array_equal(outputs(again, images), outputs(to_proto(model), images))


def test_a_resnet_of_integer_operators_is_close(shared_data, tmp_path, images):
    """Integer kernels of ONNX Runtime round otherwise than pairs do: codes are a step apart."""
    source = shared_data / "models" / "resnet20_cifar10.onnx"
    form = quantization.QuantFormat.QOperator
    model = read_model(quantized(source, tmp_path / "q.onnx", images, quant_format=form))
    found = extract(model)
    again = emit_qdq(found.model, quantizer_setup(found.model.graph), Form.QDQ)
    first, second = outputs(to_proto(model), images), outputs(again, images)
    assert len(found.model.plan.layers) == 20
    assert np.abs(first - second).max() < 0.02 * np.abs(first).max()


def test_a_transformer_computes_the_same(shared_data, tmp_path, rng):
    images = {"image": rng.normal(size=(2, 1, 28, 28)).astype(np.float32)}
    source = shared_data / "models" / "vit_mnist.onnx"
    model = read_model(quantized(source, tmp_path / "q.onnx", images, per_channel=True))
    found = extract(model)
    again = emit_qdq(found.model, quantizer_setup(found.model.graph), Form.QDQ)
    assert len(found.model.plan.layers) == 26
    assert np.array_equal(outputs(again, images), outputs(to_proto(model), images))


def test_the_executor_of_qonnx_computes_the_same(shared_data, tmp_path, images, monkeypatch):
    wrapper = pytest.importorskip("qonnx.core.modelwrapper")
    executor = pytest.importorskip("qonnx.core.onnx_exec")
    shapes = pytest.importorskip("qonnx.transformation.infer_shapes")
    make = executor.qonnx_make_model

    def older(*args, **options):
        """The executor runs node by node, in models of the newest IR, which ONNX Runtime may not know yet."""
        made = make(*args, **options)
        made.ir_version = 10
        return made

    monkeypatch.setattr(executor, "qonnx_make_model", older)
    source = shared_data / "models" / "resnet20_cifar10.onnx"
    found = extract(read_model(quantized(source, tmp_path / "q.onnx", images)))
    setup = quantizer_setup(found.model.graph)
    first = outputs(emit_qdq(found.model, setup, Form.QDQ), images)
    model = wrapper.ModelWrapper(emit_qdq(found.model, setup, Form.QONNX))
    model.set_tensor_shape("input", [8, 3, 32, 32])
    model.set_tensor_shape(model.graph.output[0].name, list(first.shape))
    model = model.transform(shapes.InferShapes())
    result = executor.execute_onnx(model, images)[model.graph.output[0].name]
    assert np.abs(result - first).max() < 0.02 * np.abs(first).max()
