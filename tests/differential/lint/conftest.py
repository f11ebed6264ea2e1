"""Small quantized models, built node by node, and what the installed ONNX Runtime makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from passes.errors import ModelError
from passes.execution.session import Level, Session
from passes.lint.lint import lint
from passes.lint.runtime import Runtime

IR = {21: 10, 22: 10, 23: 11, 24: 12}
TYPES = {
    "u8": TensorProto.UINT8, "s8": TensorProto.INT8, "u4": TensorProto.UINT4, "s4": TensorProto.INT4,
    "u2": TensorProto.UINT2, "s2": TensorProto.INT2, "u16": TensorProto.UINT16, "s16": TensorProto.INT16,
    "f8": TensorProto.FLOAT8E4M3FN, "f4": TensorProto.FLOAT4E2M1, "f32": TensorProto.FLOAT,
    "bf16": TensorProto.BFLOAT16, "i64": TensorProto.INT64, "bool": TensorProto.BOOL,
}  # fmt: skip


class Net:
    """A model that reads ``x`` (float32) and grows a node at a time; tensors are names."""

    def __init__(self, *shape: int | str) -> None:
        self.rng = np.random.default_rng(0)
        self.shape = shape or ("N", 8)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []

    def const(self, values: Any, kind: str = "f32") -> str:
        """Store values as a type."""
        name = f"c{len(self.stored)}"
        array = np.asarray(values).astype(helper.tensor_dtype_to_np_dtype(TYPES[kind]))
        self.stored.append(numpy_helper.from_array(array, name))
        return name

    def op(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Append a node; return its result."""
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, domain=domain, **attributes))
        return name

    def act(self, x: str, kind: str, scale: float = 0.05, zero: int = 0) -> str:
        """Quantize a tensor and dequantize it again."""
        parameters = self.const(scale), self.const(zero, kind)
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, *parameters), *parameters)

    def weight(self, shape: tuple[int, ...], kind: str, block: int = 0, axis: int = 0, zero: int = 0) -> str:
        """Dequantize random codes from -1 to 1, or from 0 to 2, with one scale or a scale for every block."""
        codes = self.const(self.rng.integers(0, 3, shape) - (kind[0] != "u"), kind)
        if not block:
            return self.op("DequantizeLinear", codes, self.const(0.1), self.const(zero, kind))
        blocks = [-(-size // block) if index == axis else size for index, size in enumerate(shape)]
        scales = self.const(self.rng.uniform(0.05, 0.2, blocks))
        return self.op("DequantizeLinear", codes, scales, axis=axis, block_size=block)

    def floats(self, *shape: int) -> str:
        """Store a random float tensor."""
        return self.const(self.rng.standard_normal(shape))

    def model(self, result: str, opset: int = 25, ir: int = 0, kind: str = "f32") -> onnx.ModelProto:
        """Return the model that ends with a tensor."""
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)
        y = helper.make_tensor_value_info(result, TYPES[kind], None)
        graph = helper.make_graph(self.nodes, "net", [x], [y], self.stored)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=ir or IR.get(opset, 13))


def outcome(model: onnx.ModelProto, level: Level, *, keep_floats: bool = False) -> NDArray[Any] | str:
    """The result for random inputs, or the message of the error."""
    sizes = [dim.dim_value or 3 for dim in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).standard_normal(sizes).astype(np.float32)
    try:
        return Session(model, level, threads=1, keep_floats=keep_floats).run({"x": x})[0]
    except ModelError as error:
        return str(error)


def codes(model: onnx.ModelProto, severity: str = "", *, basic: bool = False) -> set[str]:
    """The codes of the findings in a model, for the release of the traps."""
    findings = lint(model, Runtime((1, 31), basic))
    return {it.rule.code for it in findings if severity in ("", str(it.rule.severity))}


@pytest.fixture(scope="session")
def net() -> type[Net]:
    """Builder of small models."""
    return Net


@pytest.fixture(scope="session")
def found() -> Callable[..., set[str]]:
    """Codes of the findings in a model."""
    return codes


@pytest.fixture(scope="session")
def run() -> Callable[..., NDArray[Any] | str]:
    """Run a model at a level, or say why not."""
    return outcome
