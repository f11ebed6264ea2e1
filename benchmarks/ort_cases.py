"""Random one-operator programs, by the operator of ONNX Runtime that they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import helper
from ort_case import CONTRIB, Builder, Case, Codes

from passes.artifact import PackedWeight, Step, TensorInfo, WeightLayout
from passes.ir.plan import Role, TensorQuant
from passes.lowering.tables import unary_table
from passes.numerics import IntFormat, PerTensor, QuantParams, QuantSpec


def conv(
    rng: np.random.Generator,
    *,
    signed: tuple[bool, bool] = (False, False),
    weight_bits: int = 8,
    integer: bool = False,
    tied: bool = False,
) -> Case:
    """Draw a QLinearConv, or a ConvInteger: 1-D or 2-D; dense, grouped or depthwise; with scales per channel.

    Args:
        rng: source of everything.
        signed: of activations, of weights.
        weight_bits: of the weights, in a container of 8.
        integer: whether the sums themselves are the output.
        tied: as in `Builder`.
    """
    make = Builder(rng, tied)
    rank, kind = int(rng.integers(1, 3)), rng.choice(["dense", "grouped", "depthwise"])
    group = 1 if kind == "dense" else int(rng.integers(2, 9))
    inner = 1 if kind == "depthwise" else int(rng.integers(1, 33))
    channels = group * int(rng.integers(1, 3 if kind == "depthwise" else 17))
    kernel = tuple(rng.integers(1, 4, rank).tolist())
    window = {
        "strides": rng.integers(1, 3, rank).tolist(),
        "dilations": rng.integers(1, 3, rank).tolist(),
        "pads": rng.integers(0, 3, 2 * rank).tolist(),
        "group": group,
    }
    if integer:
        window["pads"] = [0] * (2 * rank)
    make.feed("x", (2, group * inner, *[9] * rank), signed=signed[0], scale=make.scale())
    codes, zero = _weight_codes(rng, (channels, inner, *kernel), signed[1], weight_bits)
    dense = WeightLayout.OUT_IN if group == 1 else WeightLayout.GROUPED
    layout = WeightLayout.DEPTHWISE if kind == "depthwise" else dense
    scales = np.ones(1, np.float32) if integer else make.scales(channels)
    weight = _pack(codes, layout, signed[1], scales, zero)
    if integer:
        return _sums(make, "ConvInteger", Step("conv", "step", ("x",), "y", dict(window), weight), codes)
    bias = rng.integers(-2000, 2000, channels)
    reached = make.tensors["x"].scale * 0.05 * 74 * 2.0 ** (weight_bits - 2) * np.sqrt(inner * prod(kernel))
    make.tensor("y", (0,) * (rank + 2), signed=signed[0], scale=make.scale(reached / 60))
    inputs = ["x", *make.parameters("x"), *_weight_inputs(make, codes, weight), *make.parameters("y")]
    inputs.append(make.constant("bias", bias.astype(np.int32)))
    step = Step("conv", "step", ("x",), "y", dict(window), weight, bias)
    return make.case(helper.make_node("QLinearConv", inputs, ["y"], **window), step)


def matmul(
    rng: np.random.Generator,
    *,
    signed: tuple[bool, bool] = (False, False),
    weight_bits: int = 8,
    integer: bool = False,
    tied: bool = False,
) -> Case:
    """Draw a QLinearMatMul with scales per column, or a MatMulInteger; arguments as for `conv`."""
    make = Builder(rng, tied)
    rows, depth, columns = (int(extent) for extent in rng.integers(1, (9, 400, 40)))
    make.feed("x", (rows, depth), signed=signed[0], scale=make.scale())
    codes, zero = _weight_codes(rng, (depth, columns), signed[1], weight_bits)
    scales = np.ones(1, np.float32) if integer else make.scales(columns)
    weight = _pack(codes, WeightLayout.IN_OUT, signed[1], scales, zero)
    step = Step("gemm", "step", ("x",), "y", weight=weight)
    if integer:
        return _sums(make, "MatMulInteger", step, codes)
    reached = make.tensors["x"].scale * 0.05 * 74 * 2.0 ** (weight_bits - 2) * np.sqrt(depth)
    make.tensor("y", (0, 0), signed=signed[0], scale=make.scale(reached / 60))
    inputs = ["x", *make.parameters("x"), *_weight_inputs(make, codes, weight), *make.parameters("y")]
    return make.case(helper.make_node("QLinearMatMul", inputs, ["y"]), step)


def two_matrices(rng: np.random.Generator, *, tied: bool = False) -> Case:
    """Draw a QLinearMatMul of two activations, in a batch."""
    make = Builder(rng, tied)
    batch, rows, depth, columns = (int(extent) for extent in rng.integers(1, (4, 9, 100, 20)))
    make.feed("x", (batch, rows, depth), signed=False, scale=make.scale())
    make.feed("b", (batch, depth, columns), signed=False, scale=make.scale())
    reached = make.tensors["x"].scale * make.tensors["b"].scale * 74 * 74 * np.sqrt(depth)
    make.tensor("y", (0, 0, 0), signed=False, scale=make.scale(reached / 60))
    inputs = [part for name in ("x", "b") for part in (name, *make.parameters(name))]
    node = helper.make_node("QLinearMatMul", [*inputs, *make.parameters("y")], ["y"])
    return make.case(node, Step("matmul", "step", ("x", "b"), "y"))


def quantize(rng: np.random.Generator, *, signed: bool = False, tied: bool = False) -> Case:
    """Draw a QuantizeLinear, with ties, large values and infinities among its inputs."""
    make = Builder(rng, tied)
    make.tensor("x", (0,), signed=signed, scale=make.scale())
    info = make.tensors["x"]
    ties = np.float32(info.scale) * (np.arange(-40, 40) + np.float32(0.5))
    wide = rng.standard_normal(400) * info.scale * 2.0 ** rng.integers(-3, 12, 400)
    make.feeds["x"] = np.concatenate([ties, wide, [np.inf, -np.inf, 0.0, -0.0]]).astype(np.float32)
    node = helper.make_node("QuantizeLinear", ["x", *make.parameters("x")], ["y"])
    make.tensors["y"] = TensorInfo("y", (None,), *info.params)  # type: ignore[arg-type]
    return make.case(node, Step("identity", "step", ("x",), "y"))


def dequantize(rng: np.random.Generator, *, signed: bool = False, tied: bool = False) -> Case:
    """Draw a DequantizeLinear of all codes."""
    make = Builder(rng, tied)
    make.tensor("x", (0,), signed=signed, scale=make.scale())
    info = make.tensors["x"]
    make.feeds["x"] = np.arange(info.qmin, info.qmax + 1).astype(info.dtype)
    make.tensors["y"] = TensorInfo("y", (None,))
    node = helper.make_node("DequantizeLinear", ["x", *make.parameters("x")], ["y"])
    return make.case(node, Step("requantize", "step", ("x",), "y"))


def elementwise(rng: np.random.Generator, *, op: str, signed: bool = False, tied: bool = False) -> Case:
    """Draw a QLinearAdd or QLinearMul of com.microsoft; `op` is ``add`` or ``mul``."""
    make = Builder(rng, tied)
    shape = tuple(rng.integers(1, 20, 3).tolist())
    make.feed("x", shape, signed=signed, scale=make.scale())
    make.feed("b", shape, signed=signed, scale=make.scale())
    middle = 0.05 if op == "add" else 0.05 * 0.05 * 74
    make.tensor("y", (0, 0, 0), signed=signed, scale=make.scale(middle))
    inputs = [part for name in ("x", "b") for part in (name, *make.parameters(name))]
    node = helper.make_node(
        f"QLinear{op.capitalize()}", [*inputs, *make.parameters("y")], ["y"], domain=CONTRIB
    )
    return make.case(node, Step(op, "step", ("x", "b"), "y"))


def concat(rng: np.random.Generator, *, tied: bool = False) -> Case:
    """Draw a QLinearConcat of com.microsoft of two tensors with parameters of their own."""
    make = Builder(rng, tied)
    for name in ("x", "b"):
        make.feed(name, (3, int(rng.integers(1, 9)), 30), signed=False, scale=make.scale())
    make.tensor("y", (0, 0, 0), signed=False, scale=make.scale())
    parts = [part for name in ("x", "b") for part in (name, *make.parameters(name))]
    node = helper.make_node("QLinearConcat", [*make.parameters("y"), *parts], ["y"], axis=1, domain=CONTRIB)
    return make.case(node, Step("concat", "step", ("x", "b"), "y", {"axis": 1}))


def global_average(rng: np.random.Generator, *, tied: bool = False) -> Case:
    """Draw a QLinearGlobalAveragePool of com.microsoft."""
    make = Builder(rng, tied)
    shape = (2, int(rng.integers(1, 30)), *rng.integers(1, 15, 2).tolist())
    make.feed("x", shape, signed=False, scale=make.scale())
    make.tensor("y", (0,) * 4, signed=False, scale=make.scale(0.02))
    inputs = ["x", *make.parameters("x"), *make.parameters("y")]
    node = helper.make_node("QLinearGlobalAveragePool", inputs, ["y"], channels_last=0, domain=CONTRIB)
    return make.case(node, Step("global_average_pool", "step", ("x",), "y"))


def average(rng: np.random.Generator, *, tied: bool = False) -> Case:
    """Draw a QLinearAveragePool of com.microsoft."""
    make = Builder(rng, tied)
    window = {
        "kernel_shape": rng.integers(2, 5, 2).tolist(),
        "strides": rng.integers(1, 3, 2).tolist(),
        "pads": rng.integers(0, 2, 4).tolist(),
        "count_include_pad": int(rng.integers(0, 2)),
        "ceil_mode": 0,
    }
    make.feed("x", (2, 5, 11, 11), signed=False, scale=make.scale())
    make.tensor("y", (0,) * 4, signed=False, scale=make.scale(0.03))
    inputs = ["x", *make.parameters("x"), *make.parameters("y")]
    node = helper.make_node("QLinearAveragePool", inputs, ["y"], domain=CONTRIB, **window)
    return make.case(node, Step("average_pool", "step", ("x",), "y", {**window, "dilations": [1, 1]}))


def unary(rng: np.random.Generator, *, op: str, tied: bool = False) -> Case:
    """Draw a QLinearLeakyRelu or QLinearSigmoid of com.microsoft over all codes."""
    make = Builder(rng, tied)
    make.tensor("x", (0,), signed=False, scale=make.scale(0.04))
    make.tensor("y", (0,), signed=False, scale=make.scale(1 / 255 if op == "Sigmoid" else 0.04))
    make.feeds["x"] = np.arange(256).astype(np.uint8)
    attributes = {"alpha": float(np.float32(rng.uniform(0.01, 0.3)))} if op == "LeakyRelu" else {}
    table = unary_table(op, attributes, _quant(make.tensors["x"]), _quant(make.tensors["y"]))
    inputs = ["x", *make.parameters("x"), *make.parameters("y")]
    node = helper.make_node(f"QLinear{op}", inputs, ["y"], domain=CONTRIB, **attributes)
    return make.case(node, Step("lut", "step", ("x",), "y", table=table))


def _sums(make: Builder, op: str, step: Step, codes: Codes) -> Case:
    """Make the sums themselves the output: as float32 with steps of 1, exact up to 2**24."""
    info = make.tensors["x"]
    make.tensors["x"] = TensorInfo("x", info.shape, info.bits, info.signed, 1.0, info.zero_point)
    make.tensors["y"] = TensorInfo("y", (None,) * make.feeds["x"].ndim)
    zero = step.weight.zero_point if step.weight is not None else np.zeros(1)
    inputs = ["x", make.constant("w", codes), make.constant("x_zero", np.array(info.zero_point, info.dtype))]
    inputs.append(make.constant("w_zero", zero.astype(codes.dtype).reshape(())))
    return make.case(helper.make_node(op, inputs, ["y"], **step.attrs), step)


def _weight_codes(
    rng: np.random.Generator, shape: tuple[int, ...], signed: bool, bits: int
) -> tuple[Codes, int]:
    """Draw codes and a zero point; signed weights have none."""
    half = 1 << (bits - 1)
    if signed:
        return rng.integers(-half, half, shape).astype(np.int8), 0
    return rng.integers(0, 2 * half, shape).astype(np.uint8), int(rng.integers(half // 2, 3 * half // 2))


def _pack(
    codes: Codes, layout: WeightLayout, signed: bool, scales: NDArray[np.float32], zero: int
) -> PackedWeight:
    zeros = np.array([zero])
    return PackedWeight.pack(
        codes, name="w", layout=layout, fmt=IntFormat(8, signed), scale=scales, zero_point=zeros
    )


def _weight_inputs(make: Builder, codes: Codes, weight: PackedWeight) -> list[str]:
    zeros = np.broadcast_to(weight.zero_point, weight.scale.shape).astype(codes.dtype)
    return [
        make.constant("w", codes),
        make.constant("w_scale", weight.scale),
        make.constant("w_zero", zeros),
    ]


def _quant(info: TensorInfo) -> TensorQuant:
    params = QuantParams(np.array(info.scale, np.float32), np.array(info.zero_point, np.int32))
    return TensorQuant(Role.ACT, QuantSpec(info.format, PerTensor(), symmetric=False), params)


Draw = Callable[..., Case]
"""Takes a generator, and whether scales are `Builder.tied`."""
EXACT: dict[str, Draw] = {
    "QLinearConv, u8 x u8": conv,
    "QLinearConv, u8 x s8 of 7 bits": partial(conv, signed=(False, True), weight_bits=7),
    "QLinearConv, s8 x s8 of 7 bits": partial(conv, signed=(True, True), weight_bits=7),
    "QLinearMatMul, u8 x u8": matmul,
    "QLinearMatMul, u8 x s8 of 7 bits": partial(matmul, signed=(False, True), weight_bits=7),
    "QLinearMatMul, s8 x s8 of 7 bits": partial(matmul, signed=(True, True), weight_bits=7),
    "QLinearMatMul, two activations": two_matrices,
    "ConvInteger, u8 x u8": partial(conv, integer=True),
    "MatMulInteger, u8 x u8": partial(matmul, integer=True),
    "MatMulInteger, u8 x s8 of 7 bits": partial(matmul, signed=(False, True), weight_bits=7, integer=True),
    "QuantizeLinear, u8": quantize,
    "QuantizeLinear, s8": partial(quantize, signed=True),
    "DequantizeLinear, u8": dequantize,
    "DequantizeLinear, s8": partial(dequantize, signed=True),
    "QLinearConcat, u8": concat,
    "QLinearGlobalAveragePool, u8": global_average,
    "QLinearLeakyRelu, u8": partial(unary, op="LeakyRelu"),
    "QLinearSigmoid, u8": partial(unary, op="Sigmoid"),
}
"""What must agree to the last bit, on every machine."""
SATURATING: dict[str, Draw] = {
    "QLinearConv, u8 x s8": partial(conv, signed=(False, True)),
    "QLinearConv, s8 x s8": partial(conv, signed=(True, True)),
    "QLinearMatMul, u8 x s8": partial(matmul, signed=(False, True)),
    "QLinearMatMul, s8 x s8": partial(matmul, signed=(True, True)),
    "MatMulInteger, u8 x s8": partial(matmul, signed=(False, True), integer=True),
}
"""What ONNX Runtime computes exactly only where the processor has instructions for it."""
OTHERWISE: dict[str, Draw] = {
    "QLinearAdd, u8": partial(elementwise, op="add"),
    "QLinearAdd, s8": partial(elementwise, op="add", signed=True),
    "QLinearMul, u8": partial(elementwise, op="mul"),
    "QLinearAveragePool, u8": average,
}
"""What ONNX Runtime rounds in an order of its own."""
