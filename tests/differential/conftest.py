"""Small random networks, and what it takes to quantize them without a file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.ir.weight_groups import with_groups
from passes.numerics import RangeMethod
from passes.transform.assign_scales import AssignScales

SAMPLES = 4
Layer = tuple[str, dict[str, object], tuple[int, ...], int]
"""Operator, attributes, weight shape, channels of the result."""

IMAGE_NETS: dict[str, list[Layer]] = {
    "conv": [
        ("Conv", {"pads": [1, 1, 1, 1]}, (6, 3, 3, 3), 6),
        ("Relu", {}, (), 6),
        ("Conv", {"strides": [2, 2]}, (5, 6, 3, 3), 5),
    ],
    "depthwise": [
        ("Conv", {}, (8, 3, 1, 1), 8),
        ("Conv", {"group": 8, "pads": [1, 1, 1, 1]}, (8, 1, 3, 3), 8),
        ("Relu", {}, (), 8),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, (), 8),
        ("Conv", {}, (4, 8, 1, 1), 4),
    ],
    "grouped": [
        ("Conv", {}, (8, 3, 1, 1), 8),
        ("Relu", {}, (), 8),
        ("Conv", {"group": 2, "dilations": [2, 2]}, (6, 4, 2, 2), 6),
    ],
    "transposed": [
        ("Conv", {}, (4, 3, 1, 1), 4),
        ("ConvTranspose", {"strides": [2, 2]}, (4, 5, 2, 2), 5),
        ("Relu", {}, (), 5),
        ("ConvTranspose", {"group": 5}, (5, 1, 2, 2), 5),
    ],
    "pooled": [
        ("Conv", {}, (6, 3, 3, 3), 6),
        ("GlobalAveragePool", {}, (), 6),
        ("Flatten", {}, (), 6),
        ("Gemm", {"transB": 1}, (7, 6), 7),
    ],
}
MATRIX_NETS: dict[str, list[Layer]] = {
    "gemm": [("Gemm", {"transB": 1}, (9, 12), 9), ("Relu", {}, (), 9), ("Gemm", {}, (9, 5), 5)],
    "matmul": [("MatMul", {}, (12, 6), 6), ("Sigmoid", {}, (), 6), ("MatMul", {}, (6, 3), 3)],
}
NETS = IMAGE_NETS | MATRIX_NETS


def build(name: str, seed: int) -> Model:
    """Build a network with random weights and biases at opset 13."""
    rng = np.random.default_rng(seed)
    shape = [None, 3, 8, 8] if name in IMAGE_NETS else [None, 12]
    nodes, constants, tensor = [], [], "x"
    for index, (op, attributes, weight, channels) in enumerate(NETS[name]):
        inputs = [tensor]
        if weight:
            inputs.append(f"w{index}")
            values = rng.standard_normal(weight).astype(np.float32)
            constants.append(numpy_helper.from_array(values, inputs[-1]))
        if weight and op != "MatMul":
            inputs.append(f"b{index}")
            values = rng.standard_normal(channels).astype(np.float32)
            constants.append(numpy_helper.from_array(values, inputs[-1]))
        tensor = f"t{index}"
        nodes.append(helper.make_node(op, inputs, [tensor], name=f"{op}{index}", **attributes))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None)],
        constants,
    )
    return model_from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), name, "0"
    )


@pytest.fixture
def samples() -> Callable[[str], np.ndarray]:
    """Random inputs for a network, by its name."""
    shape = dict.fromkeys(IMAGE_NETS, (SAMPLES, 3, 8, 8)) | dict.fromkeys(MATRIX_NETS, (SAMPLES, 12))
    return lambda name: np.random.default_rng(1).standard_normal(shape[name]).astype(np.float32)


@pytest.fixture
def quantized(samples: Callable[[str], np.ndarray]) -> Callable[[str, int, int, int], Model]:
    """A network whose plan gives all layers the same bits, with scales from the range of random samples."""

    def make(name: str, weight_bits: int, act_bits: int, seed: int = 0) -> Model:
        model = build(name, seed)
        assign(model, samples(name), Precision(weight_bits, act_bits))
        return model

    return make


def assign(model: Model, x: np.ndarray, pair: Precision, group_size: int = 0) -> Dataset:
    """Plan one precision for all layers, with scales from the range of the samples; return these as data."""
    setup = quantizer_setup(model.graph)
    plan = plan_of_bits(setup, {layer.name: pair for layer in setup.layers})
    model.plan = with_groups(plan, quantizer_setup(model.graph, load_target("generic")), group_size)
    source = ArraySource(("x",), len(x), None, {"x": x})
    data = Dataset(source, graph_inputs(model.graph), ("x",), None, len(x), "test")
    ctx = PassContext(load_target("generic"), calibration=data)
    AssignScales(method=RangeMethod.MINMAX, weights=RangeMethod.MINMAX).run(model, ctx)
    return data


@pytest.fixture
def assigned() -> Callable[..., Dataset]:
    """`assign`, for tests that bring their own network."""
    return assign
