"""The bounds of accumulators against every sum that a layer can form, found by running it on impulses."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from passes.execution.session import Level, Session
from passes.ir.onnx_io import model_from_proto
from passes.ir.plan import QuantPlan, Role, TensorQuant
from passes.ir.setup import quantizer_setup
from passes.lowering.accumulators import accumulator_bounds
from passes.numerics import IntFormat, PerTensor, QuantParams, QuantSpec

EXTENT = 7
Case = tuple[onnx.ModelProto, tuple[int, ...]]


def model_of(op: str, attributes: dict[str, object], weight: np.ndarray, shape: tuple[int, ...]) -> Case:
    node = helper.make_node(op, ["x", "w"], ["y"], name="layer", **attributes)
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, *shape])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return proto, shape


@st.composite
def layers(draw: st.DrawFn) -> Case:
    seed = draw(st.integers(0, 2**32 - 1))
    weights = lambda shape: np.random.default_rng(seed).integers(-8, 8, shape)  # noqa: E731
    op = draw(st.sampled_from(["MatMul", "Gemm", "Conv", "ConvTranspose"]))
    depth, channels = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    if op == "MatMul":
        return model_of(op, {}, weights((depth, channels)), (depth,))
    if op == "Gemm":
        return model_of(op, {"transB": 1}, weights((channels, depth)), (depth,))
    rank, group = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    pick = lambda low, high: draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))  # noqa: E731
    kernel = pick(1, 3)
    window = {"strides": pick(1, 3), "dilations": pick(1, 2), "group": group, "pads": pick(0, 1) * 2}
    first, second = (group * channels, depth) if op == "Conv" else (group * depth, channels)
    return model_of(op, window, weights((first, second, *kernel)), (group * depth, *[EXTENT] * rank))


@settings(max_examples=150)
@given(case=layers(), signed=st.booleans(), zero=st.integers(0, 7))
def test_bounds_are_reached_and_never_passed(case: Case, signed: bool, zero: int) -> None:
    proto, shape = case
    model = model_from_proto(proto, "layer", "0")
    fmt = IntFormat(4, signed)
    model.plan = QuantPlan(
        {}, {"x": quantized(Role.ACT, fmt, zero), "w": quantized(Role.WEIGHT, IntFormat(4, True), 0)}
    )
    [bound] = accumulator_bounds(model, quantizer_setup(model.graph))
    # Row i holds the factors by which element i of the input enters each element of the result.
    impulses = np.eye(prod(shape), dtype=np.float32).reshape(-1, *shape)
    [factors] = Session(proto, Level.BASIC, 1).run({"x": impulses})
    low, high = fmt.qmin - zero, fmt.qmax - zero
    ranges = [reached(factors, low, high, channel) for channel in range(factors.shape[1])]
    assert ranges[bound.channel] == (bound.lowest, bound.highest)
    assert max(max(top, -bottom - 1) for bottom, top in ranges) == max(bound.highest, -bound.lowest - 1)


def quantized(role: Role, fmt: IntFormat, zero: int) -> TensorQuant:
    params = QuantParams(np.array(1.0, np.float32), np.array(zero, np.int32))
    return TensorQuant(role, QuantSpec(fmt, PerTensor(), symmetric=False), params)


def reached(factors: np.ndarray, low: int, high: int, channel: int) -> tuple[int, int]:
    """The extreme sums of one channel, each element of the input at its better end."""
    ends = factors[:, channel] * low, factors[:, channel] * high
    return int(np.minimum(*ends).sum(axis=0).min()), int(np.maximum(*ends).sum(axis=0).max())
