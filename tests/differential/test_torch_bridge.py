"""The PyTorch bridge computes what ONNX Runtime computes: every operator, all models of the data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from passes.errors import QtoolError
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, read_model, to_proto

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.bridge import Bridge, check_graph  # noqa: E402
from passes.training.operators import OPERATORS  # noqa: E402

TOLERANCE = 1e-4
X = "float[2,3,6,5] x"
UNARY = (
    "Abs", "Ceil", "Cos", "Elu <alpha=0.7>", "Erf", "Exp", "Floor", "Gelu", 'Gelu <approximate="tanh">',
    "HardSigmoid <alpha=0.3>", "HardSwish", "Identity", "LeakyRelu <alpha=0.2>", "Mish", "Neg", "Relu",
    "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tanh", "ThresholdedRelu <alpha=0.5>",
    "Dropout", "GlobalAveragePool", "GlobalMaxPool", "LogSoftmax <axis=1>", "Softmax", "Flatten <axis=2>",
    "Transpose <perm=[0,2,3,1]>", "Transpose", "ReduceMean <keepdims=0>", "ReduceSum",
    "ArgMax <axis=1, keepdims=0>",
    "MaxPool <kernel_shape=[3,2], strides=[2,2], pads=[1,0,0,1]>",
    "MaxPool <kernel_shape=[2,2], strides=[2,2], ceil_mode=1>",
    "MaxPool <kernel_shape=[2,2], dilations=[2,1]>",
    "AveragePool <kernel_shape=[3,2], strides=[2,2], pads=[1,0,0,1]>",
    "AveragePool <kernel_shape=[3,2], strides=[2,2], pads=[1,0,0,1], count_include_pad=1>",
    "AveragePool <kernel_shape=[2,2], strides=[2,2], ceil_mode=1>",
    'AveragePool <kernel_shape=[3,3], auto_pad="SAME_UPPER">',
    "Shape", "Shape <start=1, end=3>", "Size", "Cast <to=7>",
)  # fmt: skip
NODES = {
    "add": ("float[3,1,1] b = {1, -2, 0.5}", "y = Add(x, b)"),
    "sub": ("float[5] b = {1, -2, 0.5, 3, 4}", "y = Sub(b, x)"),
    "mul": ("float[5] b = {1, -2, 0.5, 3, 4}", "y = Mul(x, b)"),
    "div": ("float b = {3}", "y = Div(x, b)"),
    "div of integers": ("int64 b = {3}", "i = Cast <to=7> (t)  y = Div(i, b)"),
    "mod": ("int64 b = {3}", "i = Cast <to=7> (t)  y = Mod(i, b)"),
    "fmod": ("float b = {0.3}", "y = Mod <fmod=1> (x, b)"),
    "pow": ("float b = {2}", "y = Pow(x, b)"),
    "max": ("float b = {0.3}, float c = {0.4}", "y = Max(x, b, c)"),
    "min": ("float b = {0.3}", "y = Min(x, b)"),
    "sum": ("float b = {0.3}", "y = Sum(x, b, x)"),
    "prelu": ("float[3,1,1] b = {0.1, 0.2, 0.3}", "y = PRelu(x, b)"),
    "clip": ("float a = {-0.3}, float b = {0.4}", "y = Clip(x, a, b)"),
    "clip above": ("float b = {0.4}", "y = Clip(x, , b)"),
    "log of sqrt": ("", "a = Abs(x)  b = Sqrt(a)  c = Reciprocal(b)  y = Log(c)"),
    "compare": (
        "float b = {0.1}",
        "a = Greater(x, b)  c = LessOrEqual(x, b)  d = Or(a, c)  y = Cast <to=1> (d)",
    ),
    "equal": ("int64 b = {1}", "i = Cast <to=7> (t)  a = Equal(i, b)  n = Not(a)  y = Where(n, x, t)"),
    "and": ("float b = {0.1}", "a = Less(x, b)  c = GreaterOrEqual(x, t)  d = And(a, c)  y = Xor(d, a)"),
    "cumsum": ("int64 b = {2}", "y = CumSum(x, b)"),
    "concat": ("", "y = Concat <axis=-2> (x, t)"),
    "split": ("int64[2] s = {1, 4}", "a, b = Split <axis=3> (x, s)  y = Concat <axis=3> (b, a)"),
    "even split": ("", "a, b, c = Split <axis=1, num_outputs=3> (x)  y = Concat <axis=1> (c, a, b)"),
    "slice": (
        "int64[2] s = {1, -1}, int64[2] e = {99, -99}, int64[2] a = {2, 3}, int64[2] d = {2, -2}",
        "y = Slice(x, s, e, a, d)",
    ),
    "gather": ("int64[2,2] i = {0, -1, 2, 1}", "y = Gather <axis=1> (x, i)"),
    "gather one": ("int64 i = {-2}", "y = Gather <axis=2> (x, i)"),
    "gather elements": ("int64[2,3,1,1] i = {0, 1, 2, -1, 0, 3}", "y = GatherElements <axis=2> (x, i)"),
    "pad": ("int64[8] p = {0, 1, 2, 0, 0, 0, 1, 3}, float v = {0.5}", "y = Pad(x, p, v)"),
    "pad edge": ("int64[8] p = {0, 0, 2, 0, 0, 0, 1, 3}", 'y = Pad <mode="edge"> (x, p)'),
    "pad reflect": ("int64[8] p = {0, 0, 2, 0, 0, 0, 1, 3}", 'y = Pad <mode="reflect"> (x, p)'),
    "reshape": ("int64[3] s = {0, -1, 5}", "y = Reshape(x, s)"),
    "squeeze": ("int64[2] a = {0, 3}", "u = Unsqueeze(x, a)  y = Squeeze(u, a)"),
    "expand": ("int64[5] s = {2, 1, 1, 1, 5}", "y = Expand(x, s)"),
    "tile": ("int64[4] s = {1, 2, 1, 3}", "y = Tile(x, s)"),
    "trilu": ("int64 k = {1}", "y = Trilu <upper=0> (x, k)"),
    "range": ("int64 a = {2}, int64 b = {9}, int64 c = {3}", "y = Range(a, b, c)"),
    "constant of shape": ("", "s = Shape(x)  c = ConstantOfShape(s)  y = Add(c, x)"),
    "constant": ("", "c = Constant <value_floats=[1.0, 2.0, 3.0, 4.0, 5.0]> ()  y = Add(c, x)"),
    "space to depth": (
        "int64[4] p = {0, 0, 0, 0}, int64[4] q = {2, 3, 6, 4}, int64[4] a = {0, 1, 2, 3}",
        "s = Slice(x, p, q, a)  d = SpaceToDepth <blocksize=2> (s)"
        '  y = DepthToSpace <blocksize=2, mode="CRD"> (d)',
    ),
    "depth to space": ("int64[4] s = {1, 12, 3, 5}", "r = Reshape(x, s)  y = DepthToSpace <blocksize=2> (r)"),
    "reduce": ("int64[2] a = {1, -1}", "p = ReduceMax(x, a)  q = ReduceMin(x, a)  y = Sub(p, q)"),
    "reduce norms": ("int64[1] a = {2}", "p = ReduceL1(x, a)  q = ReduceL2(x, a)  y = Add(p, q)"),
    "reduce squares": ("int64[1] a = {2}", "p = ReduceSumSquare(x, a)  q = ReduceProd(x, a)  y = Add(p, q)"),
    "reduce nothing": ("int64[0] a = {}", "y = ReduceSum <noop_with_empty_axes=1> (x, a)"),
    "layer normalization": (
        "float[5] g = {1, 2, 3, 4, 5}, float[5] b = {1, 0, 0, 1, 2}",
        "y = LayerNormalization <epsilon=0.001> (x, g, b)",
    ),
    "instance normalization": (
        "float[3] g = {1, 2, 3}, float[3] b = {1, 0, 0}", "y = InstanceNormalization(x, g, b)",
    ),
    "batch normalization": (
        "float[3] g = {1, 2, 3}, float[3] b = {1, 0, 0}, float[3] m = {0.1, 0, 0.3}, float[3] v = {1, 2, 3}",
        "y = BatchNormalization(x, g, b, m, v)",
    ),
    "conv": (
        "float[2,3,1,2] w = {1, 2, -3, 4, 5, 6, -1, 2, 3, 0.5, 2, 1}, float[2] b = {1, 2}",
        "y = Conv <pads=[0,1,1,0], strides=[2,1]> (x, w, b)",
    ),
    "conv in groups": (
        "float[3,1,2,2] w = {1, 2, -3, 4, 5, 6, -1, 2, 3, 0.5, 2, 1}",
        "y = Conv <group=3, dilations=[2,1], pads=[1,1,1,1]> (x, w)",
    ),
    "conv same": (
        "float[1,3,2,2] w = {1, 2, -3, 4, 5, 6, -1, 2, 3, 0.5, 2, 1}",
        'y = Conv <auto_pad="SAME_LOWER", strides=[2,2]> (x, w)',
    ),
    "conv transposed": (
        "float[3,2,1,2] w = {1, 2, -3, 4, 5, 6, -1, 2, 3, 0.5, 2, 1}, float[2] b = {1, 2}",
        "y = ConvTranspose <strides=[2,2], pads=[0,1,1,0], output_padding=[1,0]> (x, w, b)",
    ),
    "gemm": (
        "int64[2] s = {18, 10}, float[1,10] w = {1, -2, 3, 4, 5, -6, 7, 8, 9, 1}, float[1] c = {2}",
        "r = Reshape(x, s)  y = Gemm <transB=1, alpha=0.5, beta=2.0> (r, w, c)",
    ),
    "matmul": ("", "p = Transpose <perm=[0,1,3,2]> (t)  y = MatMul(x, p)"),
    "resize nearest": ("float[4] s = {1, 1, 2, 1.5}", "y = Resize(x, , s)"),
    "resize nearest down": (
        "int64[4] s = {2, 3, 4, 9}",
        'y = Resize <coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (x, , , s)',
    ),
    "resize linear": ("float[4] s = {1, 1, 2, 0.6}", 'y = Resize <mode="linear"> (x, , s)'),
    "resize corners": (
        "int64[4] s = {2, 3, 11, 7}",
        'y = Resize <mode="linear", coordinate_transformation_mode="align_corners"> (x, , , s)',
    ),
    "quantize": (
        "float[3] s = {0.1, 0.2, 0.3}, int8[3] z = {1, -2, 3}",
        "q = QuantizeLinear <axis=1> (x, s, z)  y = DequantizeLinear <axis=1> (q, s, z)",
    ),
}  # fmt: skip
UNTESTED = {"GRU", "LSTM", "RNN", "RMSNormalization", "Upsample"}
"""Tested on their own below, or of an opset that the other cases do not have."""


def graph(nodes: str, constants: str = "", opset: int = 20) -> Model:
    """A model of two inputs x and t and one output y; its type is for shape inference to find."""
    constants = f"<{constants}>" if constants else ""
    header = f'<ir_version: 9, opset_import: ["" : {opset}]>'
    return model_from_text(f"{header} g ({X}, float[2,3,6,5] t) => (y) {constants} {{ {nodes} }}")


def feeds_of(rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    return {name: rng.standard_normal((2, 3, 6, 5)).astype(np.float32) * 2 for name in ("x", "t")}


def differences(model: Model, feeds: dict[str, NDArray[Any]]) -> list[float]:
    """Largest difference of each output, relative to its largest value."""
    expected = Session(to_proto(model), Level.BASIC, threads=1).run(feeds)
    with torch.no_grad():
        found = Bridge.of(model.graph).run({name: torch.from_numpy(value) for name, value in feeds.items()})
    errors = []
    for want, have in zip(expected, found.values(), strict=True):
        assert want.shape == tuple(have.shape)
        exact, close = want.astype(np.float64), have.numpy().astype(np.float64)
        np.testing.assert_array_equal(np.isfinite(exact), np.isfinite(close))
        exact, close = (np.nan_to_num(it, posinf=0.0, neginf=0.0) for it in (exact, close))
        # In a quantized model, rounding differences of float32 now and then grow into a step of the result.
        slack = 2 * (want.dtype == np.uint8)
        error = np.maximum(np.abs(exact - close) - slack, 0.0).max(initial=0.0)
        errors.append(float(error / max(np.abs(exact).max(initial=0.0), 1e-30)))
    return errors


@pytest.mark.parametrize("node", UNARY)
def test_operators_of_one_input(node: str, rng: np.random.Generator) -> None:
    assert max(differences(graph(f"y = {node} (x)"), feeds_of(rng))) < TOLERANCE


@pytest.mark.parametrize("case", NODES)
def test_operators_with_constants(case: str, rng: np.random.Generator) -> None:
    constants, nodes = NODES[case]
    assert max(differences(graph(nodes, constants), feeds_of(rng))) < TOLERANCE


def test_softmax_of_old_opsets_flattens(rng: np.random.Generator) -> None:
    assert max(differences(graph("y = Softmax <axis=2> (x)", opset=11), feeds_of(rng))) < TOLERANCE


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("after", [0, 1])
def test_recurrent_operators(op: str, direction: str, after: int, rng: np.random.Generator) -> None:
    gates, count = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], 2 if direction == "bidirectional" else 1
    extra = f", linear_before_reset={after}" if op == "GRU" else ""
    states, cells = ("h, c", "p, q") if op == "LSTM" else ("h", "p")
    model = model_from_text(f"""<ir_version: 9, opset_import: ["" : 20]>
        g (float[7,2,3] x, float[{count},{gates * 4},3] w, float[{count},{gates * 4},4] r,
           float[{count},{gates * 8}] b, float[{count},2,4] h, float[{count},2,4] c) => (y, {cells})
        {{ y, {cells} = {op} <hidden_size=4, direction="{direction}"{extra}> (x, w, r, b, , {states}) }}""")
    shapes = {tensor.name: tensor.shape for tensor in model.graph.inputs}
    used = {tensor.name for node in model.graph.nodes for tensor in node.inputs}
    feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    model.graph.inputs = [tensor for tensor in model.graph.inputs if tensor.name in used]
    assert max(differences(model, {name: feeds[name] for name in feeds if name in used})) < TOLERANCE


def test_every_operator_has_a_case() -> None:
    texts = [*UNARY, *(nodes for _, nodes in NODES.values())]
    models = [graph(f"y = {text} (x)") if text in UNARY else None for text in texts]
    seen = {node.op for model in models if model is not None for node in model.graph.nodes}
    seen |= {node.op for constants, nodes in NODES.values() for node in graph(nodes, constants).graph.nodes}
    assert set(OPERATORS) - seen == UNTESTED


def random_inputs(model: Model, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Two samples of random numbers, or of small tokens."""
    feeds = {}
    for tensor in model.graph.inputs:
        rank = [2 if at == 0 and not isinstance(dim, int) else dim for at, dim in enumerate(tensor.shape)]
        shape = [dim if isinstance(dim, int) else 16 if dim == "seq" else 64 for dim in rank]
        kind = np.dtype(tensor.dtype)
        numbers = (
            rng.integers(0, 200, shape) if tensor.name in ("input_ids", "tokens", "input") else np.ones(shape)
        )
        feeds[tensor.name] = (rng.standard_normal(shape) if kind.kind == "f" else numbers).astype(kind)
    return feeds


@pytest.mark.needs_data
def test_all_models_of_the_data_folder(shared_data: Path, rng: np.random.Generator) -> None:
    worst = {}
    for path in sorted((shared_data / "models").glob("*.onnx")):
        model = read_model(path)
        feeds = random_inputs(model, rng)
        if "yunet" in path.name:
            feeds = {"input": (rng.random((1, 3, 160, 128)) * 255).astype(np.float32)}
        worst[path.name] = max(differences(model, feeds))
    assert len(worst) >= 14
    assert {name: error for name, error in worst.items() if error > TOLERANCE} == {}


@pytest.mark.needs_data
def test_single_operators_of_the_data_folder(shared_data: Path, rng: np.random.Generator) -> None:
    checked, wrong = 0, {}
    for path in sorted((shared_data / "odd_graphs" / "single_op").glob("*.onnx")):
        try:
            model = read_model(path)
            check_graph(model.graph)
            error = max(differences(model, random_inputs(model, rng)))
        except (QtoolError, TypeError, ValueError):
            continue
        checked += 1
        if not error < TOLERANCE:
            wrong[path.name] = error
    assert checked > 40
    assert wrong == {}
