"""GPTQ of layers whose weight is not one matrix in the graph: recurrent ones and transposed convolutions."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.session import Level, Session
from passes.execution.sources import ArraySource
from passes.ir.layers import find_layers
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from passes.manager import PassManager
from passes.pipeline import parse
from qtool.runtime import Engine

TIME, INPUTS, HIDDEN, SAMPLES = 12, 8, 16, 96
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def model_of(nodes: list[onnx.NodeProto], weights: dict[str, tuple[int, ...]], extents: list[int]) -> Model:
    """A network of one input and one output, with random weights of a variance that fits their depth."""
    rng = np.random.default_rng(3)
    constants = [
        numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *extents])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    return model_from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), "net", "0"
    )


def recurrent(op: str, direction: str, after: int = 0) -> Model:
    """Samples by time, a recurrent layer, and its states as the result."""
    count, rows = 2 if direction == "bidirectional" else 1, GATES[op] * HIDDEN
    attrs = {"direction": direction, "hidden_size": HIDDEN}
    attrs |= {"linear_before_reset": after} if op == "GRU" else {}
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="by_time", perm=[1, 0, 2]),
        helper.make_node(op, ["t", "w", "r", "b"], ["s"], name="cell", **attrs),
        helper.make_node("Transpose", ["s"], ["y"], name="by_sample", perm=[2, 0, 1, 3]),
    ]
    shapes = {"w": (count, rows, INPUTS), "r": (count, rows, HIDDEN), "b": (count, 2 * rows)}
    return model_of(nodes, shapes, [TIME, INPUTS])


def transposed(rank: int, groups: int) -> Model:
    """A transposed convolution that doubles every extent."""
    attrs = {"strides": [2] * rank, "pads": [1] * (2 * rank), "group": groups}
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], name="up", **attrs)
    return model_of([node], {"w": (INPUTS, 6 // groups, *[4] * rank), "b": (6,)}, [INPUTS, *[6] * rank])


def context(extents: list[int], samples: int = SAMPLES) -> PassContext:
    """Samples whose channels are mixtures of a few, and which change slowly along the axes behind."""
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((samples, *extents)).astype(np.float32)
    channel = 2 if extents[0] == TIME else 1
    for axis in range(1, len(extents) + 1):
        if axis != channel:
            drawn = np.cumsum(drawn, axis=axis) / 2
    mix = (rng.standard_normal((INPUTS, 3)) @ rng.standard_normal((3, INPUTS)) / 3).astype(np.float32)
    data = np.moveaxis(np.moveaxis(drawn, channel, -1) @ mix, -1, channel)
    data = (data / data.std() + 0.1 * drawn).astype(np.float32)
    inputs = (InputSpec("x", (None, *extents), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), samples, None, {"x": data}), inputs, ("x",), None, samples, "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def noise(model: Model, ctx: PassContext, tail: str, bits: int = 3) -> float:
    """Noise over signal of the Q/DQ model after ``assign-scales`` and some more."""
    PassManager(parse("canonicalize")).run(model, ctx)
    setup = quantizer_setup(model.graph, ctx.target)
    model.plan = plan_of_bits(setup, {layer.name: Precision(bits, 8) for layer in setup.layers})
    PassManager(parse(f"assign-scales{tail}")).run(model, ctx)
    (reference,) = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))
    (found,) = Session(emit_qdq(model, setup, Form.QCDQ), Level.BASIC, 1).run_all(ctx.calibration.batches(16))
    return float(np.square(found - reference).mean() / reference.var())


@pytest.mark.parametrize(
    ("op", "direction", "after"),
    [
        ("LSTM", "bidirectional", 0),
        ("GRU", "forward", 1),
        ("GRU", "reverse", 0),
        ("RNN", "bidirectional", 0),
    ],
)
def test_recurrent_weights_are_rounded_by_inputs_and_states(op: str, direction: str, after: int) -> None:
    extents = [TIME, INPUTS]
    plain = noise(recurrent(op, direction, after), context(extents), "")
    model = recurrent(op, direction, after)
    assert noise(model, context(extents), ",gptq") < 0.6 * plain
    for layer in find_layers(model.graph)[0]:
        for part in layer.parts:
            codes = model.plan.tensors[part.weight.name].codes
            assert codes.shape == part.weight.shape
            assert codes.min() >= -4
            assert codes.max() <= 3


@pytest.mark.parametrize(("rank", "groups"), [(1, 1), (2, 1), (2, 2), (3, 2)])
def test_transposed_convolutions_are_rounded_by_windows(rank: int, groups: int) -> None:
    extents = [INPUTS, *[6] * rank]
    samples = 24
    plain = noise(transposed(rank, groups), context(extents, samples), ",bias-correction")
    model = transposed(rank, groups)
    assert noise(model, context(extents, samples), ",gptq") < 0.6 * plain
    assert model.plan.codes()["w"].shape == (INPUTS, 6 // groups, *[4] * rank)
    assert len(model.plan.biases["up"]) == 6


def test_padding_from_the_size_of_the_result_is_said() -> None:
    model, ctx = transposed(1, 1), context([INPUTS, 6])
    (node,) = model.graph.nodes
    del node.attrs["pads"]
    node.attrs["auto_pad"] = "SAME_UPPER"
    noise(model, ctx, ",gptq")
    assert not model.plan.codes()
    (entry,) = [entry for entry in ctx.journal if entry.source == "gptq"]
    assert entry.subject == "up"
    assert "auto_pad" in entry.message


def test_the_packed_network_gains_as_the_simulated_one() -> None:
    errors = {}
    for tail in ("", ",gptq"):
        model, ctx = recurrent("GRU", "forward"), context([TIME, INPUTS])
        noise(model, ctx, tail)
        setup = quantizer_setup(model.graph, ctx.target)
        artifact = emit_packed(model, setup, Origin("test", "generic", "half_even"))
        (reference,) = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))
        (found,) = Engine(artifact).run({"x": ctx.calibration.source.arrays["x"]}).values()
        errors[tail] = float(np.square(found - reference).mean())
    assert errors[",gptq"] < 0.6 * errors[""]
