"""Every operator of the packed form computes the codes of the Q/DQ model in ONNX Runtime, to the last bit."""

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
from qtool.runtime.native import is_built
from qtool.runtime.native_engine import NativeEngine

SAMPLES = 3
ORIGIN = Origin("test", "generic", "half_even")
PAIRS = ((8, 8), (4, 8), (3, 5), (8, 4), (2, 2), (1, 8))
NETWORK = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[N,4,6,6] x) => (float y)
<int64[1] one = {{1}}, int64[1] three = {{3}}, int64[2] space = {{2, 3}}, int64[1] five = {{5}},
 int64[1] two = {{2}}, int64[3] rows = {{0, 24, 6}}, int64[4] wide = {{1, 4, 1, 6}},
 int64[8] margins = {{0, 0, 1, 1, 0, 0, 1, 1}}, int64 pick = {{-2}}, int64[3] picks = {{0, -1, 2}},
 float[4] twice = {{1, 1, 2, 2}}, float[4] stretch = {{1, 1, 0.5, 1.5}}, int64[4] extents = {{3, 4, 11, 5}},
 float low = {{-0.5}}, float high = {{0.75}}>
{{
    [first] a = Conv(x, w1, b1)
    {body}
    {end}
}}
"""
"""A convolution of 4 channels, the operator in question from ``a`` to ``c``, a product with its result."""

UNARY = ("Sigmoid", "Tanh", "LeakyRelu", "Elu", "HardSigmoid", "HardSwish", "Gelu", "Softplus", "Selu")
BODIES = {op: (f"[f] c = {op}(a)", 6) for op in UNARY} | {
    "Add": ("[add] c = Add(a, x)", 6),
    "Add with Relu": ("[add] s = Add(a, x) [relu] c = Relu(s)", 6),
    "Mul": ("[mul] c = Mul(a, x)", 6),
    "squeeze and excite": (
        "[pool] g = GlobalAveragePool(a) [gate] s = Sigmoid(g) [mul] c = Mul(a, s)",
        6,
    ),
    "Relu on its own": ("[relu] r = Relu(a) [add] c = Add(r, a)", 6),
    "Clip on its own": ("[clip] r = Clip(a, low, high) [add] c = Add(r, a)", 6),
    "Clip": ("[clip] c = Clip(a, low, high)", 6),
    "AveragePool": (
        "[pool] c = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]>(a)",
        3,
    ),
    "AveragePool with its padding": (
        "[pool] c = AveragePool<kernel_shape = [2, 2], pads = [1, 1, 0, 0], count_include_pad = 1>(a)",
        6,
    ),
    "GlobalAveragePool": ("[pool] c = GlobalAveragePool(a)", 1),
    "ReduceMean": ("[mean] c = ReduceMean<keepdims = 0>(a, space)", 4),
    "MaxPool": ("[pool] c = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(a)", 3),
    "GlobalMaxPool": ("[pool] c = GlobalMaxPool(a)", 1),
    "Concat": ("[join] c = Concat<axis = 1>(a, x)", 6),
    "Reshape": ("[move] c = Reshape(a, rows)", 6),
    "Flatten": ("[move] c = Flatten(a)", 144),
    "Squeeze": ("[move] u = Unsqueeze(a, one) [back] c = Squeeze(u, one)", 6),
    "Transpose": ("[move] c = Transpose<perm = [0, 2, 3, 1]>(a)", 4),
    "Slice": ("[move] c = Slice(a, one, five, three, two)", 2),
    "Pad": ("[move] c = Pad(a, margins)", 8),
    "Expand": ("[pool] g = GlobalAveragePool(a) [move] c = Expand(g, wide)", 6),
    "DepthToSpace": ("[move] c = DepthToSpace<blocksize = 2>(a)", 12),
    "DepthToSpace by columns": ('[move] c = DepthToSpace<blocksize = 2, mode = "CRD">(a)', 12),
    "Gather": ("[move] c = Gather<axis = 3>(a, picks)", 3),
    "Resize": (
        '[up] c = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric",'
        ' nearest_mode = "floor">(a, , twice)',
        12,
    ),
    "Resize by a fraction": ('[up] c = Resize<mode = "nearest">(a, , stretch)', 9),
    "Resize to a size": (
        '[up] c = Resize<mode = "nearest", coordinate_transformation_mode = "align_corners",'
        ' nearest_mode = "round_prefer_ceil">(a, , , extents)',
        5,
    ),
    "Mul by a constant": ("[scale] c = Mul(a, high)", 6),
    "Div by a constant": ("[scale] c = Div(a, high)", 6),
    "Add of a constant": ("[move] t = Identity(a) [sum] c = Add(t, grid)", 6),
    "Mul by a tensor": ("[move] t = Identity(a) [scale] c = Mul(t, grid)", 6),
    "Sub of a constant": ("[move] t = Identity(a) [rest] c = Sub(t, grid)", 6),
    "Sub from a constant": ("[gate] t = Sigmoid(a) [rest] c = Sub(high, t)", 6),
    "Gather of one": ("[move] c = Gather<axis = 1>(a, pick)", 6),
    "Identity": ("[move] c = Identity(a)", 6),
    "Dropout": ("[move] c = Dropout(a)", 6),
    "MatMul of two activations": (
        "[move] t = Transpose<perm = [0, 1, 3, 2]>(a) [product] m = MatMul(a, t) [relu] c = Relu(m)",
        6,
    ),
    "Conv with auto_pad": ('[same] c = Conv<auto_pad = "SAME_UPPER", strides = [2, 2]>(a, w3)', 3),
    "ConvTranspose": ("[up] c = ConvTranspose<strides = [2, 2], output_padding = [1, 1]>(a, w3)", 14),
    "Conv with groups": ("[groups] c = Conv<group = 2, pads = [1, 1, 1, 1]>(a, w4)", 6),
    "depthwise Conv": ("[depthwise] c = Conv<group = 4, dilations = [2, 2]>(a, w5)", 2),
}
METHODS = {
    "Softmax": ("[method] c = Softmax<axis = -1>(a)", 6),
    "LayerNormalization": ("[method] c = LayerNormalization<axis = -1>(a, gain, shift)", 6),
    "LayerNormalization without shift": ("[method] c = LayerNormalization<epsilon = 0.1>(a, gain)", 6),
}
WEIGHTS = {
    "grid": (4, 1, 6), "gain": (6,), "shift": (6,),
    "w1": (4, 4, 1, 1), "b1": (4,), "w3": (4, 4, 3, 3), "w4": (4, 2, 3, 3), "w5": (4, 1, 3, 3),
}  # fmt: skip
Assign = Callable[[Model, np.ndarray, Precision], Dataset]


def network(body: str, width: int, rng: np.random.Generator, end: str = "[last] y = MatMul(c, w2)") -> Model:
    """The network with this body and random weights; the last product has `width` rows."""
    proto = parser.parse_model(NETWORK.format(body=body, end=end))
    used = {name for node in proto.graph.node for name in node.input}
    for name, shape in (WEIGHTS | {"w2": (width, 3)}).items():
        if name in used:
            values = rng.standard_normal(shape).astype(np.float32)
            proto.graph.initializer.append(numpy_helper.from_array(values, name))
    unused = [entry for entry in proto.graph.initializer if entry.name not in used]
    for entry in unused:
        proto.graph.initializer.remove(entry)
    return model_from_proto(proto, "net", "0")


def both_forms(model: Model) -> tuple[onnx.ModelProto, Artifact]:
    setup = quantizer_setup(model.graph)
    return emit_qdq(model, setup, Form.QDQ), emit_packed(model, setup, ORIGIN)


def check_native(artifact: Artifact, feeds: dict[str, np.ndarray]) -> None:
    """The native engine, where it is built, has the same bits in every tensor and output."""
    if not is_built():
        return
    reference, native = Engine(artifact), NativeEngine(artifact)
    expected, found = reference.trace(feeds), native.trace(feeds)
    for name, codes in expected.items():
        np.testing.assert_array_equal(found[name], codes, err_msg=name, strict=True)
    for name, values in reference.run(feeds).items():
        np.testing.assert_array_equal(native.run(feeds)[name], values, strict=True)


def check(model: Model, data: Dataset) -> None:
    """Compare step by step with equal inputs, and from end to end."""
    proto, artifact = both_forms(model)
    layers = layer_agreement(proto, artifact, data, SAMPLES, threads=1)
    assert [(layer.name, layer.max_lsb) for layer in layers] == [(step.name, 0) for step in artifact.steps]
    feeds = next(data.batches(SAMPLES))
    (expected,) = Session(proto, Level.BASIC, threads=1).run(feeds)
    (found,) = Engine(artifact).run(feeds).values()
    check_native(artifact, feeds)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("bits", PAIRS, ids=lambda bits: f"w{bits[0]}a{bits[1]}")
@pytest.mark.parametrize("name", BODIES)
def test_operators_compute_the_same_codes(
    name: str, bits: tuple[int, int], assigned: Assign, rng: np.random.Generator
) -> None:
    model = network(*BODIES[name], rng)
    data = assigned(model, rng.standard_normal((SAMPLES, 4, 6, 6)).astype(np.float32), Precision(*bits))
    check(model, data)


@pytest.mark.parametrize("name", BODIES)
def test_sixteen_bits_differ_by_a_step_where_floats_round(
    name: str, assigned: Assign, rng: np.random.Generator
) -> None:
    model = network(*BODIES[name], rng)
    data = assigned(model, rng.standard_normal((SAMPLES, 4, 6, 6)).astype(np.float32), Precision(8, 16))
    layers = layer_agreement(*both_forms(model), data, SAMPLES, threads=1)
    # Sums of 16-bit products leave the 24 bits in which the float32 of the simulation is exact.
    assert max(layer.max_lsb for layer in layers[:-1]) <= 1


@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (2, 2), (8, 16)], ids=lambda bits: f"w{bits[0]}a{bits[1]}")
@pytest.mark.parametrize("name", METHODS)
def test_methods_differ_by_a_step_where_floats_tie(
    name: str, bits: tuple[int, int], assigned: Assign, rng: np.random.Generator
) -> None:
    model = network(*METHODS[name], rng)
    data = assigned(model, rng.standard_normal((SAMPLES, 4, 6, 6)).astype(np.float32), Precision(*bits))
    layers = {layer.name: layer for layer in layer_agreement(*both_forms(model), data, SAMPLES, threads=1)}
    # At 16 bits a step of the output is as small as the errors of 16-bit gains and of float32.
    assert layers["method"].max_lsb <= (1 if bits[1] <= 8 else 8)
    assert bits[1] > 8 or layers["method"].differing < 0.01


@pytest.mark.parametrize("form", [Form.QDQ, Form.QCDQ])
@pytest.mark.parametrize(
    "bits", [(8, 8), (4, 8), (4, 4), (2, 2), (8, 16)], ids=lambda bits: f"w{bits[0]}a{bits[1]}"
)
@pytest.mark.parametrize("name", BODIES)
def test_operators_load_on_integer_kernels(
    name: str, bits: tuple[int, int], form: Form, assigned: Assign, rng: np.random.Generator
) -> None:
    model = network(*BODIES[name], rng)
    data = assigned(model, rng.standard_normal((SAMPLES, 4, 6, 6)).astype(np.float32), Precision(*bits))
    proto = emit_qdq(model, quantizer_setup(model.graph), form)
    feeds = next(data.batches(SAMPLES))
    exact, fast = (Session(proto, level, threads=1).run(feeds)[0] for level in Level)
    # Kernels that round a sum together with its zero point break ties the other way: one step at the most.
    assert np.abs(exact - fast).mean() <= np.abs(exact).max() / 2 ** bits[1]


@pytest.mark.parametrize("tail", ["Softmax", "LogSoftmax", "Sigmoid", "Flatten", "Transpose"])
def test_tails_in_floating_point_follow(tail: str, assigned: Assign, rng: np.random.Generator) -> None:
    model = network(*BODIES["MaxPool"], rng, end=f"[last] z = MatMul(c, w2) [tail] y = {tail}(z)")
    data = assigned(model, rng.standard_normal((SAMPLES, 4, 6, 6)).astype(np.float32), Precision(8, 8))
    check(model, data)
