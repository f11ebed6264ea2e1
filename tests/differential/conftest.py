"""Small random networks, and what it takes to quantize them without a file."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.errors import QtoolError
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.ir.weight_groups import with_groups
from passes.numerics import IntFormat, RangeMethod
from passes.transform.assign_scales import AssignScales
from qtool.runtime import Engine
from qtool.runtime.native import instruction_sets
from qtool.runtime.native_engine import NativeEngine

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


class Maker:
    """Draws the parts of a program from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def tensor(self, name: str, rank: int, bits: int | None, reach: float = 1.0) -> TensorInfo:
        """A tensor whose codes span about `reach`; half of all scales are short, as qtool assigns them."""
        if bits is None:
            return TensorInfo(name, (None,) * rank)
        fmt = IntFormat(bits, bool(self.integer(0, 1)))
        scale = reach / fmt.levels * self.rng.uniform(0.7, 1.5)
        if self.integer(0, 1):
            scale = float(2.0 ** np.round(np.log2(scale)) * self.integer(8, 15) / 8)
        zero = self.integer(fmt.qmin, fmt.qmax)
        return TensorInfo(name, (None,) * rank, bits, fmt.signed, scale, zero)

    def codes(self, info: TensorInfo, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.integers(info.qmin, info.qmax + 1, shape).astype(info.dtype)

    def weight(self, shape: tuple[int, ...], layout: WeightLayout, bits: int, channels: int) -> PackedWeight:
        fmt = IntFormat(bits, bool(self.integer(0, 1)))
        count = channels if self.integer(0, 1) else 1
        return PackedWeight.pack(
            self.rng.integers(fmt.qmin, fmt.qmax + 1, shape),
            name="w",
            layout=layout,
            fmt=fmt,
            scale=2.0 ** -self.rng.uniform(3, 6, count),
            zero_point=self.rng.integers(fmt.qmin, fmt.qmax + 1, count),
        )


def check(
    step: Step, infos: list[TensorInfo], feeds: dict[str, np.ndarray], rule: str, rounding: str
) -> None:
    """Run one step on both engines, on every instruction set: the same codes, or the same kind of error."""
    tensors = {info.name: info for info in infos}
    artifact = Artifact("t", "", "g", rounding, rule, step.inputs, (step.output,), tensors, (step,))
    expected = outcome(lambda: Engine(artifact).run_step("step", feeds))
    for isa in instruction_sets():
        found = outcome(lambda isa=isa: NativeEngine(artifact, 2, isa).run_step("step", feeds))
        assert type(found) is type(expected)
        if isinstance(expected, np.ndarray):
            assert not NativeEngine(artifact, 1, isa).reference_steps
            np.testing.assert_array_equal(found, expected, strict=True)


def outcome(run: Any) -> Any:
    try:
        return run()
    except QtoolError as error:
        return error


def bounds(make: Maker, output: TensorInfo) -> dict[str, int]:
    """Bounds of a fused clamp, in half of the cases."""
    if output.is_float or make.integer(0, 1):
        return {}
    low, high = sorted(make.rng.integers(output.qmin, output.qmax + 1, 2).tolist())
    return {"lo": low, "hi": high}


@pytest.fixture(scope="session")
def native() -> Any:
    """Parts of programs of one step, and their check on both engines."""
    return SimpleNamespace(Maker=Maker, check=check, bounds=bounds)
