"""The node tests of the onnx package for quantized operators, through programs of one step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.numerics import IntFormat
from qtool.runtime import Engine

QUANTIZE = "quantizelinear"
COVERED = {
    "test_convinteger_with_padding",
    "test_convinteger_without_padding",
    "test_matmulinteger",
    "test_qlinearconv",
    *(f"test_qlinearmatmul_{rank}D_{kind}" for rank in (2, 3) for kind in ("uint8_float32", "int8_float32")),
    *(f"test_qlinearmatmul_{rank}D_{kind}" for rank in (2, 3) for kind in ("uint8_float16", "int8_float16")),
    *(
        f"test_{op}_{kind}".removesuffix("_")
        for op in (QUANTIZE, f"de{QUANTIZE}")
        for kind in ("", "axis", "uint16", "int16", "uint4", "int4", "uint2", "int2")
    ),
    f"test_de{QUANTIZE}_blocked",
    f"test_{QUANTIZE}_blocked_asymmetric",
    f"test_{QUANTIZE}_blocked_symmetric",
}
FLOATING = ("e4m3fn", "e5m2", "float4e2m1")
"""Formats that are no integers."""
Arrays = list[np.ndarray]


@pytest.fixture(scope="module")
def node_tests() -> dict[str, Any]:
    """All node tests of the installed onnx package, by name."""
    with warnings.catch_warnings():
        # The package computes its expected values while it loads them, some of them infinite on purpose.
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}


def test_every_node_test_of_these_operators_is_covered(node_tests: dict[str, Any]) -> None:
    found = {name for name, case in node_tests.items() if case.model.graph.node[0].op_type in RUN}
    integers = {name for name in found if not any(word in name for word in FLOATING)}
    assert {name for name in integers if "expanded" not in name} == COVERED


@pytest.mark.parametrize("name", sorted(COVERED))
def test_the_expected_output_is_computed(node_tests: dict[str, Any], name: str) -> None:
    node = node_tests[name].model.graph.node[0]
    attributes = {attribute.name: list(attribute.ints) or attribute.i for attribute in node.attribute}
    inputs, [expected] = ([array(value) for value in side] for side in node_tests[name].data_sets[0])
    found = RUN[node.op_type](inputs, attributes, expected)
    np.testing.assert_array_equal(found.astype(np.float64), expected.astype(np.float64))


def array(value: Any) -> np.ndarray:
    """Values of 2 and 4 bits come as protocol buffers."""
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def program(step: Step, *tensors: TensorInfo) -> Engine:
    named = {tensor.name: tensor for tensor in tensors}
    return Engine(
        Artifact("test", "", "any", "half_even", "float", step.inputs, (step.output,), named, (step,))
    )


def info(name: str, rank: int, dtype: np.dtype[Any], scale: float = 1.0, zero: int = 0) -> TensorInfo:
    bits, signed = width(dtype)
    return TensorInfo(name, (None,) * rank, bits, signed, scale, zero)


def width(dtype: np.dtype[Any]) -> tuple[int, bool]:
    """Bits and sign of an element type; the narrow ones are extensions of numpy with such names."""
    digits = "".join(character for character in dtype.name if character.isdigit())
    return int(digits), not dtype.name.startswith("u")


def spread(values: np.ndarray, shape: tuple[int, ...], attributes: dict[str, Any]) -> np.ndarray:
    """Repeat scales or zero points to the shape of the data: one for all, per axis, or per block."""
    if values.ndim == 0 or values.size == 1:
        return np.broadcast_to(values.reshape(()), shape)
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if block:
        return np.take(values, np.arange(shape[axis]) // block, axis=axis)
    return np.broadcast_to(values.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)


def parts(inputs: Arrays, attributes: dict[str, Any]) -> Iterator[tuple[np.ndarray, float, int]]:
    """Yield the places that share parameters, with scale and zero point: a tensor has one pair."""
    shape = inputs[0].shape
    scales = spread(inputs[1].astype(np.float32), shape, attributes)
    zeros = np.zeros(shape, np.int64)
    if len(inputs) > 2:
        zeros = spread(inputs[2].astype(np.int64), shape, attributes)
    for scale, zero in {*zip(scales.ravel().tolist(), zeros.ravel().tolist(), strict=True)}:
        yield (scales == np.float32(scale)) & (zeros == zero), scale, zero


def quantize(inputs: Arrays, attributes: dict[str, Any], expected: np.ndarray) -> np.ndarray:
    found = np.zeros(expected.shape)
    for places, scale, zero in parts(inputs, attributes):
        step = Step("identity", "step", ("x",), "y")
        tensors = [info(name, 1, expected.dtype, scale, zero) for name in "xy"]
        found[places] = program(step, *tensors).trace({"x": inputs[0][places]})["y"]
    return found


def dequantize(inputs: Arrays, attributes: dict[str, Any], expected: np.ndarray) -> np.ndarray:
    found = np.zeros(expected.shape)
    for places, scale, zero in parts(inputs, attributes):
        source = info("x", 1, inputs[0].dtype, scale, zero)
        engine = program(Step("requantize", "step", ("x",), "y"), source, TensorInfo("y", (None,)))
        codes = inputs[0][places].astype(np.int64).astype(source.dtype)
        found[places] = engine.run_step("step", {"x": codes})
    return found


def qlinear_conv(inputs: Arrays, attributes: dict[str, Any], expected: np.ndarray) -> np.ndarray:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = inputs
    step = conv_step(x, w, w_scale, w_zero, attributes)
    source = info("x", x.ndim, x.dtype, float(x_scale), int(x_zero))
    result = info("y", x.ndim, expected.dtype, float(y_scale), int(y_zero))
    return program(step, source, result).run_step("step", {"x": x})


def conv_integer(inputs: Arrays, attributes: dict[str, Any], expected: np.ndarray) -> np.ndarray:
    x, w, x_zero, *rest = inputs
    zero = rest[0] if rest else np.zeros(1, np.int64)
    step = conv_step(x, w, np.ones(1), zero, attributes)
    source = info("x", x.ndim, x.dtype, 1.0, int(x_zero))
    return program(step, source, TensorInfo("y", (None,) * x.ndim)).run_step("step", {"x": x})


def conv_step(
    x: np.ndarray, w: np.ndarray, scale: np.ndarray, zero: np.ndarray, attributes: dict[str, Any]
) -> Step:
    rank = x.ndim - 2
    window = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * 2 * rank, "group": 1}
    window |= {key: value for key, value in attributes.items() if key in window}
    weight = PackedWeight.pack(
        w,
        name="w",
        layout=WeightLayout.OUT_IN,
        fmt=IntFormat(*width(w.dtype)),
        scale=scale,
        zero_point=zero.astype(np.int64).reshape(-1),
    )
    return Step("conv", "step", ("x",), "y", window, weight)


def qlinear_matmul(inputs: Arrays, attributes: dict[str, Any], expected: np.ndarray) -> np.ndarray:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    tensors = (
        info("a", a.ndim, a.dtype, a_scale.item(), a_zero.item()),
        info("b", b.ndim, b.dtype, b_scale.item(), b_zero.item()),
        info("y", expected.ndim, expected.dtype, y_scale.item(), y_zero.item()),
    )
    return program(Step("matmul", "step", ("a", "b"), "y"), *tensors).run_step("step", {"a": a, "b": b})


def matmul_integer(inputs: Arrays, attributes: dict[str, Any], expected: np.ndarray) -> np.ndarray:
    a, b, a_zero, b_zero = inputs
    tensors = (info("a", 2, a.dtype, 1.0, a_zero.item()), info("b", 2, b.dtype, 1.0, b_zero.item()))
    engine = program(Step("matmul", "step", ("a", "b"), "y"), *tensors, TensorInfo("y", (None, None)))
    return engine.run_step("step", {"a": a, "b": b})


RUN = {
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "QLinearConv": qlinear_conv,
    "ConvInteger": conv_integer,
    "QLinearMatMul": qlinear_matmul,
    "MatMulInteger": matmul_integer,
}
