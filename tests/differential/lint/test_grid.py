"""On every pair of types, lint finds an error where ONNX Runtime fails or is wrong, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest

from passes.execution.session import Level

ACTS = ("u8", "s8", "u4", "s2", "u16", "f8", "")
WEIGHTS = ("s8", "u8", "s4", "s2", "s16", "f8", "f32")
RESULTS = ("same", "u8", "")
STEP = 0.1
"""Scale of quantized results: integer kernels may be one step off."""
SHAPED: dict[str, list[Any]] = {
    "Reshape": [[0, -1]], "Unsqueeze": [[0]], "Gather": [[0, 1]], "ReduceMean": [[1]],
    "Pad": [[0, 0, 1, 1, 0, 0, 1, 1]],
}  # fmt: skip
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "MaxPool": {"kernel_shape": [2, 2]}, "AveragePool": {"kernel_shape": [2, 2]},
    "Transpose": {"perm": [0, 2, 3, 1]}, "Concat": {"axis": 1}, "Gather": {"axis": 1},
}  # fmt: skip
UNARY = (
    "MaxPool", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax", "Transpose", "Flatten",
    "Tanh", "HardSwish", "Relu", "Clip", "Elu", "Identity",
)  # fmt: skip
BINARY = ("Add", "Mul", "Sub", "Div", "Concat", "MatMul")


def agrees(
    model: onnx.ModelProto, run: Callable[..., Any], found: Callable[..., set[str]], step: float = STEP
) -> str:
    """Empty if lint and the runtime agree on a model, else what each of them says."""
    exact, fast = run(model, Level.BASIC), run(model, Level.DEFAULT)
    assert isinstance(exact, np.ndarray), exact
    wrong = isinstance(fast, str) or np.abs(fast - exact).max() > 1.01 * step
    errors = found(model, "error")
    return (
        ""
        if bool(errors) == wrong
        else f"{sorted(errors)} against {fast if isinstance(fast, str) else wrong}"
    )


def layer(net: Any, op: str, act: str, weight: str, result: str, block: int) -> onnx.ModelProto:
    made = net("N", 8, 4, 4) if op.startswith("Conv") else net("N", 32)
    shape, axis = ((8, 8, 3, 3), 1) if op.startswith("Conv") else ((32, 8), 0)
    x = made.act("x", act, 0.05) if act else "x"
    stored = made.floats(*shape) if weight == "f32" else made.weight(shape, weight, block, axis)
    y = made.op(op, x, stored)
    result = act if result == "same" else result
    return made.model(made.act(y, result, STEP) if result else y)


@pytest.mark.parametrize("block", [0, 4, 16, 32])
@pytest.mark.parametrize("op", ["Conv", "MatMul", "Gemm", "ConvTranspose"])
def test_layers_of_all_types(op: str, block: int, net: Any, run: Any, found: Any) -> None:
    wrong = {}
    for act, weight, result in product(ACTS, WEIGHTS, RESULTS):
        if not (block and weight == "f32"):
            wrong[act, weight, result] = agrees(layer(net, op, act, weight, result, block), run, found)
    assert len(wrong) > 100
    assert not {key: message for key, message in wrong.items() if message}


@pytest.mark.parametrize("kind", ["u8", "u16", "u4", "s4", "u2", "s2", "f8"])
@pytest.mark.parametrize("same", [True, False], ids=["one scale", "two scales"])
def test_operators_of_all_types(kind: str, same: bool, net: Any, run: Any, found: Any) -> None:
    wrong = {}
    for op in (*UNARY, *SHAPED, *BINARY):
        made = net("N", 8, 4, 4)
        x = made.act("x", kind, STEP)
        others = [made.const(values, "i64") for values in SHAPED.get(op, [])]
        others += [made.act("x", kind, 2 * STEP)] if op in BINARY else []
        y = made.op(op, x, *others, **ATTRIBUTES.get(op, {}))
        step = STEP if same else 2 * STEP
        allowed = step if kind == "u8" else step / 2
        wrong[op] = agrees(made.model(made.act(y, kind, step)), run, found, allowed)
    assert not {op: message for op, message in wrong.items() if message}
