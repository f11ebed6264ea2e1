"""Runs one step of the integer runtime, or one node of ONNX Runtime, on arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.numerics import IntFormat
from qtool.runtime import open_engine
from qtool.runtime.native import is_built


def tensor(
    name: str, rank: int, bits: int | None = 8, signed: bool = False, scale: float = 1.0, zero: int = 0
):
    return TensorInfo(name, (None,) * rank, bits, signed, scale, zero)


def _run_one(
    engine: str,
    op: str,
    arrays: list[Any],
    infos: list[TensorInfo],
    output: TensorInfo,
    rule: str = "exact",
    **parts: Any,
) -> Any:
    names = tuple(info.name for info in infos)
    step = Step(op, "step", names, output.name, **parts)
    tensors = {info.name: info for info in (*infos, output)}
    artifact = Artifact("test", "", "generic", "half_even", rule, names, (output.name,), tensors, (step,))
    feeds = {info.name: np.asarray(array, info.dtype) for info, array in zip(infos, arrays, strict=True)}
    return open_engine(artifact, engine)[0].run_step("step", feeds)


@pytest.fixture(params=["reference", "native"])
def engine(request: pytest.FixtureRequest) -> str:
    """The kind of an engine; the native one is skipped where it is not built."""
    if request.param == "native" and not is_built():
        pytest.skip("the native kernels are not built")
    return str(request.param)


@pytest.fixture
def run_one(engine: str) -> Callable[..., Any]:
    """Run one step on codes, on either engine; the parts of the step are named."""
    return partial(_run_one, engine)


@pytest.fixture
def info() -> Callable[..., TensorInfo]:
    """Make a TensorInfo of a rank with unknown extents."""
    return tensor


@pytest.fixture
def pack() -> Callable[..., PackedWeight]:
    """Pack a weight of a layout with scale 1 unless told otherwise."""

    def make(q, layout=WeightLayout.OUT_IN, bits=8, signed=True, scale=(1.0,), zero=(0,)):
        fmt = IntFormat(bits, signed)
        return PackedWeight.pack(
            np.asarray(q), name="w", layout=layout, fmt=fmt, scale=np.array(scale), zero_point=np.array(zero)
        )

    return make


@pytest.fixture
def onnx_node() -> Callable[..., Any]:
    """Run one node of ONNX Runtime in float32, with computed inputs first and constant ones behind."""
    import onnxruntime

    def run(op: str, inputs: list[Any], constants: list[Any] | None = None, **attrs: Any) -> Any:
        names = [f"i{index}" for index in range(len(inputs))]
        fixed = [numpy_helper.from_array(np.asarray(c), f"c{i}") for i, c in enumerate(constants or [])]
        node = helper.make_node(op, [*names, *(c.name for c in fixed)], ["y"], **attrs)
        shapes = [helper.make_tensor_value_info(n, 1, x.shape) for n, x in zip(names, inputs, strict=True)]
        result = [helper.make_tensor_value_info("y", 1, None)]
        graph = helper.make_graph([node], "g", shapes, result, fixed)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, dict(zip(names, [np.float32(x) for x in inputs], strict=True)))[0]

    return run
