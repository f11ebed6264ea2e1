"""Plans with layers in floating point, lowered and run: what stays float is exact, the rest as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwmodels import FLOAT, Precision, load_target
from passes.api import PassContext
from passes.errors import LoweringError
from passes.execution.collect import HISTOGRAMS
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.session import Level, Session
from passes.execution.simulator import Simulator
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from passes.numerics import fake_quantize
from passes.transform.assign_scales import AssignScales
from passes.transform.gptq import Gptq

SAMPLES, EIGHT = 32, Precision(8, 8)
LAYERS = ("a", "b", "c")


def network() -> onnx.ModelProto:
    """Three convolutions with a pool before the second; weights of the second lie far apart."""
    rng = np.random.default_rng(1)
    weights = {name: rng.standard_normal((8, 8, 3, 3)).astype(np.float32) for name in LAYERS}
    weights["b"][:, 0] *= 100
    weights["a"][0] /= 100
    nodes = [
        helper.make_node("Conv", ["x", "wa"], ["ya"], name="a", pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["ya"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p", "wb", "bias"], ["yb"], name="b", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["yb"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "wc"], ["y"], name="c"),
    ]
    constants = [numpy_helper.from_array(array, f"w{name}") for name, array in weights.items()]
    constants.append(numpy_helper.from_array(rng.standard_normal(8).astype(np.float32), "bias"))
    ends = [
        helper.make_tensor_value_info("x", 1, ["N", 8, 8, 8]),
        helper.make_tensor_value_info("y", 1, ["N", 8, 2, 2]),
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def ctx() -> PassContext:
    """Normal samples."""
    x = np.random.default_rng(2).standard_normal((SAMPLES, 8, 8, 8)).astype(np.float32)
    inputs = (InputSpec("x", (1, 8, 8, 8), np.dtype(np.float32)),)
    data = Dataset(ArraySource(("x",), SAMPLES, None, {"x": x}), inputs, ("x",), None, SAMPLES, "test")
    return PassContext(load_target("generic"), calibration=data, workers=1, observes=frozenset({HISTOGRAMS}))


def planned(ctx: PassContext, proto: onnx.ModelProto | None = None, **bits: Precision) -> Model:
    model = model_from_proto(proto or network(), "net", "0" * 64)
    setup = quantizer_setup(model.graph, ctx.target)
    model.plan = plan_of_bits(setup, dict.fromkeys(LAYERS, EIGHT) | bits)
    AssignScales().run(model, ctx)
    return model


def run(proto: onnx.ModelProto, ctx: PassContext, level: Level, **options: bool) -> np.ndarray:
    session = Session(proto, level, 1, **options)
    return np.concatenate([session.run(feeds)[0] for feeds in ctx.calibration.batches(16)])


def lowered(model: Model, ctx: PassContext, form: Form = Form.QDQ) -> onnx.ModelProto:
    return emit_qdq(model, quantizer_setup(model.graph, ctx.target), form)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def test_a_layer_that_cannot_be_quantized_is_saved_by_staying_float(ctx: PassContext) -> None:
    reference = run(network(), ctx, Level.BASIC)
    everything = run(lowered(planned(ctx), ctx), ctx, Level.BASIC)
    kept = run(lowered(planned(ctx, b=FLOAT, a=FLOAT), ctx), ctx, Level.BASIC)
    assert error(everything, reference) > 0.2
    assert error(kept, reference) < 0.02


@pytest.mark.parametrize("form", [Form.QDQ, Form.QCDQ])
@pytest.mark.parametrize("layer", LAYERS)
def test_the_runtime_does_not_round_what_stays_float(ctx: PassContext, form: Form, layer: str) -> None:
    """ONNX Runtime quantizes float weights between quantizers unless it is told not to, or there are none."""
    proto = lowered(planned(ctx, **{layer: FLOAT}), ctx, form)
    assert not [init.name for init in proto.graph.initializer if init.name.startswith(f"w{layer}.")]
    told = run(proto, ctx, Level.BASIC, keep_floats=True)
    np.testing.assert_array_equal(run(proto, ctx, Level.BASIC), told)
    assert error(run(proto, ctx, Level.DEFAULT), told) < 1e-2


def fork() -> onnx.ModelProto:
    """Two convolutions of one input, of which one is followed by a third; their results are added."""
    proto = network()
    wires = {"a": ("x", "ya"), "b": ("x", "yb"), "c": ("yb", "yc")}
    nodes = [
        helper.make_node("Conv", [read, f"w{name}"], [wrote], name=name, pads=[1, 1, 1, 1])
        for name, (read, wrote) in wires.items()
    ]
    nodes.append(helper.make_node("Add", ["ya", "yc"], ["y"], name="sum"))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, ["N", 8, 8, 8]))
    return proto


def test_a_float_layer_beside_integer_ones_reads_what_they_quantize_as_it_was(ctx: PassContext) -> None:
    model = planned(ctx, fork(), b=FLOAT)
    proto = lowered(model, ctx)
    (float_node,) = (node for node in proto.graph.node if node.name == "b")
    assert list(float_node.input) == ["x", "wb"]
    assert "x.dq" in {name for node in proto.graph.node if node.name == "a" for name in node.input}
    told = run(proto, ctx, Level.BASIC, keep_floats=True)
    np.testing.assert_array_equal(run(proto, ctx, Level.BASIC), told)


@pytest.mark.parametrize(
    "bits", [{"b": FLOAT}, {"a": FLOAT, "c": Precision(4, 32)}, dict.fromkeys(LAYERS, FLOAT)]
)
def test_the_simulator_gives_what_the_lowered_model_gives(
    ctx: PassContext, bits: dict[str, Precision]
) -> None:
    model = planned(ctx, **bits)
    simulator = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.calibration, threads=1)
    (found,) = simulator.run(model.plan, Level.BASIC)
    np.testing.assert_array_equal(found, run(lowered(model, ctx), ctx, Level.BASIC))


def test_all_layers_float_is_the_model_as_it_came(ctx: PassContext) -> None:
    model = planned(ctx, **dict.fromkeys(LAYERS, FLOAT))
    proto = lowered(model, ctx)
    assert [node.op_type for node in proto.graph.node] == [node.op_type for node in network().graph.node]
    np.testing.assert_array_equal(run(proto, ctx, Level.BASIC), run(network(), ctx, Level.BASIC))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weights_stored_narrow_are_multiplied_as_floats(ctx: PassContext, bits: int) -> None:
    model = planned(ctx, **dict.fromkeys(LAYERS, Precision(bits, 32)))
    proto = lowered(model, ctx)
    assert not [node.name for node in proto.graph.node if node.op_type == "QuantizeLinear"]
    by_hand = network()
    for init in by_hand.graph.initializer:
        quant = model.plan.tensors.get(init.name)
        if quant is not None and quant.params is not None:
            rounded = fake_quantize(numpy_helper.to_array(init), quant.spec, quant.params)
            init.CopyFrom(numpy_helper.from_array(rounded, init.name))
    np.testing.assert_array_equal(run(proto, ctx, Level.BASIC), run(by_hand, ctx, Level.BASIC))


def test_weights_for_float_layers_are_rounded_by_data_with_their_bias(ctx: PassContext) -> None:
    model = planned(ctx, **dict.fromkeys(LAYERS, Precision(3, 32)))
    reference = run(network(), ctx, Level.BASIC)
    plain = error(run(lowered(model, ctx), ctx, Level.BASIC), reference)
    Gptq().run(model, ctx)
    assert model.plan.tensors["wb"].codes is not None
    assert "b" in model.plan.biases
    assert error(run(lowered(model, ctx), ctx, Level.BASIC), reference) < plain


def test_there_is_no_artifact_and_the_message_says_which_layers(ctx: PassContext) -> None:
    model = planned(ctx, b=FLOAT)
    setup = quantizer_setup(model.graph, ctx.target)
    with pytest.raises(LoweringError, match="keeps b in floating point"):
        emit_packed(model, setup, Origin("test", "generic", "half_even"))


def test_the_float_model_is_not_changed(ctx: PassContext) -> None:
    model = planned(ctx, b=FLOAT)
    before = to_proto(model).SerializeToString(deterministic=True)
    lowered(replace(model), ctx)
    assert to_proto(model).SerializeToString(deterministic=True) == before
