"""Weights with groups: the blocked Q/DQ model in ONNX Runtime against the packed form, step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from hwmodels import Precision
from passes.artifact import Artifact
from passes.execution.dataset import Dataset
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from qtool.agreement import layer_agreement
from qtool.runtime import Engine

SAMPLES = 4
ORIGIN = Origin("test", "generic", "half_even")
NETWORK = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[N,36,5,5] x) => (float[N,6] y) {
    [first] a = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
    [relu] r = Relu(a)
    [point] c = Conv(r, w2, b2)
    [pool] p = GlobalAveragePool(c)
    [flat] f = Flatten(p)
    [product] m = MatMul(f, w3)
    [tanh] t = Tanh(m)
    [last] y = Gemm<transB = 1>(t, w4, b4)
}
"""
"""Extents of 36 and 40 leave shorter last groups of 4 and 8."""
SHAPES = {
    "w1": (40, 36, 3, 3),
    "w2": (40, 40, 1, 1),
    "w3": (40, 33),
    "w4": (6, 33),
    "b1": 40,
    "b2": 40,
    "b4": 6,
}

Assign = Callable[..., Dataset]


def network(rng: np.random.Generator) -> Model:
    proto = parser.parse_model(NETWORK)
    for name, shape in SHAPES.items():
        values = rng.standard_normal(shape) / np.sqrt(40)
        proto.graph.initializer.append(numpy_helper.from_array(np.float32(values), name))
    return model_from_proto(proto, "net", "0" * 64)


def forms(model: Model, form: Form) -> tuple[onnx.ModelProto, Artifact]:
    setup = quantizer_setup(model.graph)
    proto = emit_qdq(model, setup, form)
    onnx.checker.check_model(proto, full_check=True)
    return proto, emit_packed(model, setup, ORIGIN)


@pytest.mark.parametrize("form", [Form.QDQ, Form.QCDQ])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("size", [16, 32])
def test_both_forms_compute_the_same_codes(
    bits: int, form: Form, size: int, assigned: Assign, rng: np.random.Generator
) -> None:
    model = network(rng)
    samples = rng.standard_normal((SAMPLES, 36, 5, 5)).astype(np.float32)
    data = assigned(model, samples, Precision(bits, 8), group_size=size)
    proto, artifact = forms(model, form)
    assert sum(step.weight is not None and step.weight.runs is not None for step in artifact.steps) == 4
    layers = layer_agreement(proto, artifact, data, SAMPLES, threads=1)
    assert [(layer.name, layer.max_lsb) for layer in layers] == [(step.name, 0) for step in artifact.steps]
    feeds = next(data.batches(SAMPLES))
    (packed,) = Engine(artifact).run(feeds).values()
    for level in Level:
        (found,) = Session(proto, level, threads=1).run(feeds)
        np.testing.assert_allclose(found, packed, rtol=0, atol=1e-5 * np.abs(packed).max())


def test_blocks_are_those_of_the_last_group_too(assigned: Assign, rng: np.random.Generator) -> None:
    model = network(rng)
    assigned(
        model, rng.standard_normal((SAMPLES, 36, 5, 5)).astype(np.float32), Precision(4, 8), group_size=32
    )
    proto, _ = forms(model, Form.QDQ)
    scales = {init.name: init.dims for init in proto.graph.initializer if init.name.endswith("scale")}
    assert [list(scales[f"w{i}.scale"]) for i in (1, 2, 3, 4)] == [
        [40, 2, 3, 3],
        [40, 2, 1, 1],
        [2, 33],
        [6, 2],
    ]
    assert min(opset.version for opset in proto.opset_import) >= 21
