"""Convolutions and pools over one and three axes, and 16 bits: packed and Q/DQ compute the same codes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import numpy_helper, parser

from hwmodels import Precision
from passes.execution.dataset import Dataset
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from qtool.agreement import layer_agreement

NETWORK = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[N,4,{extents}] x) => (float[N,3,{unknown}] y)
{{
    [first] a = Conv(x, w1, b1) [relu] r = Relu(a)
    {body}
    [last] y = Conv(c, w5)
}}
"""
EXTENTS = {1: "9", 3: "4,5,6"}
UNKNOWN = {1: "A", 3: "A,B,C"}
BODIES = {
    "Conv": "[c] c = Conv<group = 2, pads = [{ones}, {ones}], dilations = [{twos}]>(r, w2)",
    "strided Conv": "[c] c = Conv<strides = [{twos}]>(r, w3)",
    "depthwise Conv": "[c] c = Conv<group = 4, pads = [{ones}, {ones}]>(r, w4)",
    "ConvTranspose": "[c] c = ConvTranspose<strides = [{twos}]>(r, w3)",
    "MaxPool": "[c] c = MaxPool<kernel_shape = [{twos}], ceil_mode = 1, strides = [{twos}]>(r)",
    "AveragePool": "[c] c = AveragePool<kernel_shape = [{twos}], pads = [{ones}, {ones}]>(r)",
    "GlobalAveragePool": "[c] c = GlobalAveragePool(r)",
    "GlobalMaxPool": "[c] c = GlobalMaxPool(r)",
}
Assign = Callable[[Model, np.ndarray, Precision], Dataset]


def network(body: str, rank: int, rng: np.random.Generator) -> Model:
    lists = {"ones": ", ".join(["1"] * rank), "twos": ", ".join(["2"] * rank)}
    proto = parser.parse_model(
        NETWORK.format(body=body.format(**lists), extents=EXTENTS[rank], unknown=UNKNOWN[rank])
    )
    used = {name for node in proto.graph.node for name in node.input}
    points, taps = (1,) * rank, (2,) * rank
    shapes = {
        "w1": (4, 4, *points), "b1": (4,), "w2": (4, 2, *taps), "w3": (4, 4, *taps), "w4": (4, 1, *taps),
        "w5": (3, 4, *points),
    }  # fmt: skip
    for name in sorted(used & set(shapes)):
        values = rng.standard_normal(shapes[name]).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return model_from_proto(proto, "net", "0")


@pytest.mark.parametrize("bits", [(8, 8), (4, 8), (2, 3)], ids=lambda bits: f"w{bits[0]}a{bits[1]}")
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("name", BODIES)
def test_one_and_three_axes(
    name: str, rank: int, bits: tuple[int, int], assigned: Assign, rng: np.random.Generator
) -> None:
    model = network(BODIES[name], rank, rng)
    shape = (3, 4, *map(int, EXTENTS[rank].split(",")))
    data = assigned(model, rng.standard_normal(shape).astype(np.float32), Precision(*bits))
    assert differences(model, data) == {0}


@pytest.mark.parametrize("bits", [(8, 16), (4, 16), (16, 8)], ids=lambda bits: f"w{bits[0]}a{bits[1]}")
@pytest.mark.parametrize("name", ["Conv", "depthwise Conv", "MaxPool", "AveragePool"])
def test_sixteen_bits(name: str, bits: tuple[int, int], assigned: Assign, rng: np.random.Generator) -> None:
    model = network(BODIES[name], 1, rng)
    data = assigned(model, rng.standard_normal((3, 4, 9)).astype(np.float32), Precision(*bits))
    # Sums of 16-bit products leave the 24 bits in which the float32 of the simulation is exact.
    assert max(differences(model, data)) <= 1


def differences(model: Model, data: Dataset) -> set[float]:
    setup = quantizer_setup(model.graph)
    artifact = emit_packed(model, setup, Origin("test", "generic", "half_even"))
    layers = layer_agreement(emit_qdq(model, setup, Form.QDQ), artifact, data, 3, threads=1)
    assert len(layers) == len(artifact.steps)
    return {
        layer.max_lsb for layer in layers if not artifact.tensors[output_of(artifact, layer.name)].is_float
    }


def output_of(artifact, name: str) -> str:
    return next(step.output for step in artifact.steps if step.name == name)
