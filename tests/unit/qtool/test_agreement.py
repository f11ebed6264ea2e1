"""Differences between a Q/DQ model and an artifact are found, counted and placed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from hwmodels import Precision, load_target
from passes.api import PassContext
from passes.artifact import Artifact
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.sources import ArraySource
from passes.ir.onnx_io import model_from_text
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from passes.numerics import RangeMethod
from passes.transform.assign_scales import AssignScales
from qtool.agreement import expose, layer_agreement, worst

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N,2] x) => (float[N,2] y)
<float[2,2] w1 = {1.0, 2.0, 3.0, 4.0}, float[2] b1 = {0.5, -0.5}, float[2,2] w2 = {1.0, 0.5, -0.5, 1.0}>
{
    [first] h = Gemm(x, w1, b1)
    [second] y = MatMul(h, w2)
}
"""
SAMPLES = 5
Case = tuple[onnx.ModelProto, Artifact, Dataset]


@pytest.fixture
def case(rng: np.random.Generator) -> Case:
    """Both forms of two layers, and data."""
    model = model_from_text(TEXT)
    setup = quantizer_setup(model.graph)
    model.plan = plan_of_bits(setup, {layer.name: Precision(8, 8) for layer in setup.layers})
    x = rng.standard_normal((SAMPLES, 2)).astype(np.float32)
    source = ArraySource(("x",), SAMPLES, None, {"x": x})
    data = Dataset(source, graph_inputs(model.graph), ("x",), None, SAMPLES, "test")
    AssignScales(method=RangeMethod.MINMAX).run(model, PassContext(load_target("generic"), calibration=data))
    artifact = emit_packed(model, setup, Origin("test", "generic", "half_even"))
    return emit_qdq(model, setup, Form.QDQ), artifact, data


def test_equal_forms_agree(case: Case) -> None:
    layers = layer_agreement(*case, samples=SAMPLES, threads=1)
    assert [(layer.name, layer.max_lsb, layer.differing) for layer in layers] == [
        ("first", 0, 0),
        ("second", 0, 0),
    ]
    assert worst(layers) == 0


def test_a_wrong_bias_is_found_where_it_is(case: Case) -> None:
    proto, artifact, data = case
    first, second = artifact.steps
    step = artifact.tensors["h"].scale / (artifact.tensors["x"].scale * float(first.weight.scale[0]))
    shifted = first.bias + np.array([round(3 * step), 0])
    layers = layer_agreement(
        proto, replace(artifact, steps=(replace(first, bias=shifted), second)), data, SAMPLES, threads=1
    )
    # A step of the output is no whole number of accumulator steps, and the end of the range saturates.
    assert 3 <= layers[0].max_lsb <= 4
    assert layers[0].differing <= 0.5
    assert sum(layers[0].histogram.values()) == layers[0].differing * 2 * SAMPLES
    assert layers[1].max_lsb == 0
    assert worst(layers) == layers[0].max_lsb


def test_only_so_many_samples_are_compared(case: Case) -> None:
    proto, artifact, data = case
    first, second = artifact.steps
    wrong = replace(artifact, steps=(replace(first, bias=first.bias + 10**6), second))
    layers = layer_agreement(proto, wrong, data, samples=2, threads=1)
    assert sum(layers[0].histogram.values()) == 4


def test_dequantized_values_become_outputs_under_their_tensor(case: Case) -> None:
    proto, _, _ = case
    probed, outputs = expose(proto, ["x", "h", "y", "none"])
    assert outputs == {"x": "x.dq", "h": "h.dq", "y": "y"}
    assert [output.name for output in probed.graph.output] == ["y", "x.dq", "h.dq"]
    assert [output.name for output in proto.graph.output] == ["y"]


def test_nothing_compared_is_no_difference() -> None:
    assert worst([]) == 0
