"""Small models with what exporters, optimizers and people put into them: same results, and no surprises."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser
from typer.testing import CliRunner

from hwmodels import load_target
from passes.api import PassContext
from passes.artifact import Artifact
from passes.errors import ModelError
from passes.execution.session import Level, Session
from passes.ir.layers import find_layers
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto, to_proto
from passes.transform.canonicalize import Canonicalize
from passes.transform.fold_batchnorm import FoldBatchNorm
from qtool.cli.main import app
from qtool.runtime import Engine, open_engine

RNG = np.random.default_rng(7)
Arrays = dict[str, np.ndarray]
DOMAINS = ', "com.microsoft" : 1, "ai.onnx.ml" : 3, "own" : 1'


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


CONSTANTS: Arrays = {
    "w": floats(3, 3), "v": floats(3, 2), "k": floats(3, 3, 2, 2), "g": floats(3), "rows": floats(3, 1),
    "var": np.abs(floats(3)), "yes": np.array(True), "half": np.array(0.5, np.float32),
    "mask": np.triu(np.full((3, 3), -np.inf, np.float32), 1), "lo": np.array(2, np.float32),
    "hi": np.array(-1, np.float32), "cut": np.array([0, 0, -1, 1, 0, 0, 1, -1]), "empty": floats(3, 0),
    "codes": np.eye(3, dtype=np.int8), "plane": floats(3, 3, 3), "tiny16": np.array(0.01, np.float16),
    "tiny64": np.array(0.01), "k16": floats(3, 3, 2, 2).astype(np.float16),
    "w64": floats(3, 3).astype(np.float64), "half16": np.array(0.5, np.float16),
    "w16": floats(3, 3).astype(np.float16),
    "four": floats(4, 2), "one": floats(3, 1), "longer": floats(1, 1, 3), "longest": np.abs(floats(1, 1, 1)),
}  # fmt: skip
IMAGE = "float[2,3,4,4] x"
ROWS = "float[3,3] x"


def net(body: str, opset: int = 13, inputs: str = ROWS, outputs: str = "float[] y") -> onnx.ModelProto:
    """Return a model with those of the constants above that it names."""
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}{DOMAINS}]> net ({inputs}) => ({outputs}) {{ {body} }}'
    )
    named = {name for node in proto.graph.node for name in node.input}
    named |= {value.name for value in proto.graph.output}
    constants = [numpy_helper.from_array(CONSTANTS[name], name) for name in CONSTANTS if name in named]
    proto.graph.initializer.extend(constants)
    for node in proto.graph.node:
        node.input[:] = ["" if name == "none" else name for name in node.input]
    return proto


def feeds(proto: onnx.ModelProto) -> Arrays:
    """Numbers for every input."""
    rng, found = np.random.default_rng(3), {}
    for value in proto.graph.input:
        kind = value.type.tensor_type
        if not kind.elem_type:
            continue
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        shape = [dim.dim_value for dim in kind.shape.dim]
        found[value.name] = np.asarray(rng.standard_normal(shape)).astype(dtype)
    return found


def canonical(proto: onnx.ModelProto) -> Model:
    model = model_from_proto(onnx.ModelProto.FromString(proto.SerializeToString()), "net.onnx", "0" * 64)
    Canonicalize().run(model, PassContext(load_target("generic")))
    return model


NORM = """m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) s = Mul(d, d) r = ReduceMean<axes = [-1]>(s)
    a = Add(r, {0}) q = Sqrt(a) y = Div(d, q)"""
HARD = """t = Constant<value = double {3.0}>() z = Constant<value = double {0.0}>()
    s = Constant<value = double {6.0}>() a = Add(x, t) c = Clip(a, z, s) m = Mul(x, c) y = Div(m, s)"""
HALVES = """c = Conv(x, k16) r = Relu(c) m = ReduceMax<keepdims = 0>(r) t = Greater(m, half16)
    y = If(t) <then_branch = one () => (float16[] a) { a = Mul(r, half16) },
               else_branch = two () => (float16[] b) { k = Cast<to = 1>(r) b = Cast<to = 10>(k) }>"""
HALF = net(HALVES, inputs="float16[2,3,4,4] x", outputs="float16[] y")
DOUBLE = net(
    "m = MatMul(x, w64) r = Relu(m) y = MatMul(r, w64)", inputs="double[3,3] x", outputs="double[] y"
)
SAME = {
    "a number added to a product": net("m = MatMul(x, one) y = Add(m, half)"),
    "a vector with axes of its own": net("m = MatMul(x, w) y = Add(m, longer)"),
    "a factor with axes of its own": net("m = MatMul(x, w) y = Mul(m, longest)"),
    "half precision": HALF,
    "double precision": DOUBLE,
    "a bias per row": net("y = Gemm(x, w, rows)"),
    "a scaled bias per row": net("y = Gemm<beta = 0.5, alpha = 2.0>(x, w, rows)"),
    "dropout in training": net("d = Dropout<seed = 1>(x, half, yes) y = MatMul(d, w)"),
    "layer norm in half precision": net(
        NORM.format("tiny16"), inputs="float16[3,3] x", outputs="float16[] y"
    ),
    "layer norm in double precision": net(
        NORM.format("tiny64"), inputs="double[3,3] x", outputs="double[] y"
    ),
    "hard swish in double precision": net(HARD, 14, "double[3,3] x", "double[] y"),
    "hardmax beside silu": net("s = Sigmoid(x) t = Mul(x, s) y = Hardmax<axis = 1>(t)", 11, IMAGE),
    "hidden entries": net("a = Add(x, mask) s = Softmax(a) y = MatMul(s, w)"),
    "trees": net("y = ai.onnx.ml.Scaler<offset = [0.5, 0.1, 0.2], scale = [1.0, 2.0, 3.0]>(x)"),
}


@pytest.mark.parametrize("name", SAME)
def test_canonicalized_models_compute_what_they_did(name: str) -> None:
    proto, given = SAME[name], feeds(SAME[name])
    (expected,) = Session(proto, Level.BASIC, 1).run(given)
    (found,) = Session(to_proto(canonical(proto)), Level.BASIC, 1).run(given)
    bound = 4e-3 if expected.dtype == np.float16 else 1e-5
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=bound, atol=bound)


def test_operators_of_other_domains_are_not_taken_for_those_of_onnx() -> None:
    body = "a = own.Gemm(x) b = own.Identity(a) c = own.Clip(b) d = own.Conv(c, w) y = own.Dropout(d)"
    model = canonical(net(body))
    assert [node.op for node in model.graph.nodes] == [
        "own::Gemm", "own::Identity", "own::Clip", "own::Conv", "own::Dropout",
    ]  # fmt: skip
    written = to_proto(model).graph.node
    assert [(node.domain, node.op_type) for node in written] == [
        ("own", op) for op in ("Gemm", "Identity", "Clip", "Conv", "Dropout")
    ]


def test_layers_behind_fused_operators_are_found() -> None:
    fused = "com.microsoft.FusedMatMul<alpha = 0.5>(x, w) h = com.microsoft.BiasGelu(f, g)"
    proto = net(f"f = {fused} m = MatMul(h, w) y = MatMul(m, v)")
    layers, _ = find_layers(canonical(proto).graph)
    assert [layer.op for layer in layers] == ["MatMul", "MatMul"]
    assert layers[1].output.shape == [3, 2]


def sparse(indices: np.ndarray, shape: list[int]) -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(np.array([1.0, 2.0], np.float32), "sparse")
    return helper.make_sparse_tensor(values, numpy_helper.from_array(indices), shape)


def as_initializer(proto: onnx.ModelProto, stored: onnx.SparseTensorProto) -> None:
    proto.graph.sparse_initializer.append(stored)


def as_constant(proto: onnx.ModelProto, stored: onnx.SparseTensorProto) -> None:
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["sparse"], sparse_value=stored))


@pytest.mark.parametrize("place", [as_initializer, as_constant])
@pytest.mark.parametrize("indices", [np.array([1, 5]), np.array([[0, 1], [1, 2]])], ids=["flat", "by axis"])
def test_sparse_constants_become_dense(place: Callable[..., None], indices: np.ndarray) -> None:
    proto = net("y = MatMul(x, sparse)")
    place(proto, sparse(indices, [3, 3]))
    x = np.eye(3, dtype=np.float32)
    (found,) = Session(to_proto(canonical(proto)), Level.BASIC, 1).run({"x": x})
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 2], [0, 0, 0]])


@pytest.mark.parametrize(
    ("indices", "shape"), [([1, 9], [3, 3]), ([-1, 2], [3, 3]), ([1, 2], [2**20, 2**20]), ([1, 2, 3], [3, 3])]
)
def test_sparse_constants_that_do_not_fit_are_refused(indices: list[int], shape: list[int]) -> None:
    proto = net("y = MatMul(x, sparse)")
    proto.graph.sparse_initializer.append(
        onnx.SparseTensorProto(
            values=numpy_helper.from_array(np.array([1.0, 2.0], np.float32), "sparse"),
            indices=numpy_helper.from_array(np.array(indices)),
            dims=shape,
        )
    )
    with pytest.raises(ModelError, match="sparse tensor 'sparse'"):
        canonical(proto)


def test_maps_keep_their_types() -> None:
    proto = net(
        "m = MatMul(x, w) y = ai.onnx.ml.ZipMap<classlabels_int64s = [0, 1, 2]>(m)",
        outputs="seq(map(int64, float)) y",
    )
    assert to_proto(canonical(proto)).graph.output[0].type == proto.graph.output[0].type


BIASED = "c = Conv(x, k, none) y = Relu(c)"
NO_TENSOR = "input 'o' of the model is no tensor"
QUANTIZED: dict[str, tuple[onnx.ModelProto, str]] = {
    "an optional value": (
        net("m = MatMul(x, w) o = Optional(m) e = OptionalGetElement(o) y = MatMul(e, v)", 18),
        "",
    ),
    "an optional input": (
        net("e = OptionalGetElement(o) y = MatMul(e, w)", 18, f"{ROWS}, optional(float[3,3]) o"),
        NO_TENSOR,
    ),
    "a sequence as an input": (
        net("e = ConcatFromSequence<axis = 0>(o) y = MatMul(e, w)", 18, f"{ROWS}, seq(float[3,3]) o"),
        NO_TENSOR,
    ),
    "half precision": (HALF, ""),
    "double precision": (DOUBLE, ""),
    "a weight that is a result": (net("y = MatMul(x, w)", outputs="float[] y, float[3,3] w"), ""),
    "an input that is a result": (
        net("m = MatMul(x, w) y = MatMul(m, v)", outputs="float[] y, float[3,3] x"),
        "",
    ),
    "an input that nothing reads": (net("y = MatMul(x, w)", inputs=f"{ROWS}, float[3,7] u"), ""),
    "a bias without a name": (net(BIASED, inputs=IMAGE), ""),
    "vectors": (net("m = MatMul(x, w) y = Add(m, g)", inputs="float[3] x"), ""),
    "a convolution and a product of one tensor": (
        net(
            "c = Conv(x, k) m = MatMul(x, four) y = ReduceMean(m)",
            inputs=IMAGE,
            outputs="float[] y, float[] c",
        ),
        "",
    ),
    "a mask of dropout": (net("d, n = Dropout(x) y = MatMul(d, w)", outputs="float[] y, bool[] n"), ""),
    "bounds that cross": (net("m = MatMul(x, w) c = Clip(m, lo, hi) y = MatMul(c, v)"), ""),
    "padding that cuts": (
        net("c = Conv(x, k) p = Pad(c, cut) y = Conv(p, k)", inputs="float[1,3,9,9] x"),
        "",
    ),
    "pools that dilate": (
        net(
            'c = Conv(x, k) p = MaxPool<kernel_shape = [2, 2], auto_pad = "SAME_UPPER", '
            "dilations = [2, 2]>(c) y = Conv(p, k)",
            inputs="float[1,3,9,9] x",
        ),
        "",
    ),
    "numbers without layers": (net("y = own.Gemm(x)"), "nothing can be quantized (own::Gemm"),
    "weights without elements": (
        net("m = MatMul(x, empty) y = Relu(x)", outputs="float[] y, float[] m"),
        "its weight has no elements",
    ),
    "normalization per place": (
        net("c = MatMul(x, w) y = BatchNormalization<spatial = 0>(c, plane, plane, plane, plane)", 7),
        "cannot move the model",
    ),
    "a layer whose input has no axes": (
        net("m = MatMul(x, w) z = PRelu(half, m) y = Conv(z, k)"),
        "must have at least 3 dimensions",
    ),
    "random weights": (net("r = RandomNormal<shape = [3, 3]>() m = MatMul(x, r) y = MatMul(m, w)"), ""),
    "maps": (
        net(
            "m = MatMul(x, w) y = ai.onnx.ml.ZipMap<classlabels_int64s = [0, 1, 2]>(m)",
            outputs="seq(map(int64, float)) y",
        ),
        "no output that is a tensor of numbers",
    ),
}


FORMS = ("qdq", "qcdq", "nbits")


def quantize(proto: onnx.ModelProto, folder: Path, forms: str = "qdq,qcdq,packed", *options: str) -> Any:
    (folder / "net.onnx").write_bytes(proto.SerializeToString())
    np.savez(folder / "data.npz", **feeds(proto))  # type: ignore[arg-type]
    words = ["quantize", folder / "net.onnx", "--calib", folder / "data.npz", "--eval", folder / "data.npz"]
    words += ["--target", "generic", "--to", forms, "-o", folder / "out", "--quiet", *options]
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("name", QUANTIZED)
def test_they_are_quantized_or_refused_in_words(name: str, tmp_path: Path) -> None:
    proto, reason = QUANTIZED[name]
    result = quantize(proto, tmp_path)
    assert result.exit_code == (3 if reason else 0), result.stderr
    assert reason in result.stderr


@pytest.mark.parametrize("bits", [16, 64])
@pytest.mark.parametrize("end", ["y = Relu(m)", "y = Softmax(m)", "r = Relu(m) y = MatMul(r, w{bits})"])
def test_networks_in_other_precisions_have_a_packed_form(bits: int, end: str, tmp_path: Path) -> None:
    kind = {16: "float16", 64: "double"}[bits]
    body = f"m = MatMul(x, w{bits}) {end.format(bits=bits)}"
    proto = net(body, inputs=f"{kind}[3,3] x", outputs=f"{kind}[] y")
    assert quantize(proto, tmp_path).exit_code == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["agreement"]["qdq_vs_packed_max_lsb"] == 0
    given = feeds(proto)
    (expected,) = Session(onnx.load(tmp_path / "out" / "model.qdq.onnx"), Level.BASIC, 1).run(given)
    (found,) = Engine(Artifact.load(tmp_path / "out" / "model.qpk")).run(given).values()
    np.testing.assert_allclose(found.astype(expected.dtype), expected, rtol=1e-3 if "Soft" in end else 0)


TAKEN = {
    "w": "x.scale", "v": "x.zero_point", "m": "x.q", "r": "x.q.dq", "n": "x.dq", "c": "x.quantize",
    "y": "x.float", "half": "x.min", "hi": "x.q.scale",
}  # fmt: skip


def test_names_that_lowering_gives_may_be_taken(tmp_path: Path) -> None:
    body = "m = MatMul(x, w) r = Relu(m) n = MatMul(r, v) c = Clip(n, hi, half) y = Softmax(c)"
    plain = net(body, outputs="float[] y, float[] r")
    taken = onnx.ModelProto.FromString(plain.SerializeToString())
    for node in taken.graph.node:
        node.name = f"x.q.{node.op_type}"
        for names in (node.input, node.output):
            names[:] = [TAKEN.get(name, name) for name in names]
    for value in (*taken.graph.initializer, *taken.graph.output):
        value.name = TAKEN[value.name]
    results = []
    for name, proto in {"plain": plain, "taken": taken}.items():
        (tmp_path / name).mkdir()
        assert (
            quantize(proto, tmp_path / name, "qdq,qcdq,qonnx,matmulnbits,packed", "--pin", "*=w4a4").exit_code
            == 0
        )
        made = tmp_path / name / "out"
        results.append(
            [
                Session(onnx.load(made / f"model.{form}.onnx"), Level.BASIC, 1).run(feeds(proto))
                for form in FORMS
            ]
        )
        assert json.loads((made / "report.json").read_text())["agreement"]["qdq_vs_packed_max_lsb"] == 0
    for before, after in zip(*results, strict=True):
        np.testing.assert_equal(before, after)


def test_a_loop_of_a_known_number_of_steps_runs_on_integers(tmp_path: Path) -> None:
    proto = net(
        """m = MatMul(x, w) c0 = Gather<axis = 0>(m, last) t = Constant<value = int64 {3}>()
        o = Constant<value = bool {1}>()
        c, z = Loop(t, o, c0) <body = step (int64 i, bool on, float[2,3] s) =>
            (bool on1, float[2,3] s1, float[2,3] h) {
                on1 = Identity(on) r = Gather<axis = 0>(m, i) f = Sigmoid(r) d = Sub(s, r)
                p = Mul(f, d) s1 = Add(p, r) h = Mul(f, s1) }>
        y = MatMul(z, v)""",
        inputs="float[3,2,3] x",
    )
    proto.graph.initializer.append(numpy_helper.from_array(np.array(2), "last"))
    assert quantize(proto, tmp_path).exit_code == 0
    assert (tmp_path / "out" / "model.qpk").exists()


SRU = """{to} = MatMul({x}, {w}) {to}u = Sigmoid({to})
    {to}h = Shape({to}) {to}t = Gather<axis = 0>({to}h, nought)
    {to}z, {to}s = Loop({to}t, yes, state) <body = {to}step (int64 {to}i, bool {to}g, float[2,3] {to}c) =>
        (bool {to}on, float[2,3] {to}d, float[2,3] {to}y) {{
            {to}on = Identity({to}g) {to}a = Sub({to}t, {to}i) {to}b = Sub({to}a, step)
            {to}r = Gather<axis = 0>({to}, {to}{at}) {to}f = Gather<axis = 0>({to}u, {to}{at})
            {to}e = Sub({to}c, {to}r) {to}p = Mul({to}f, {to}e) {to}d = Add({to}p, {to}r)
            {to}y = Mul({to}f, {to}d) }}> """


def test_a_simple_recurrent_network_in_loops_runs_on_integers(tmp_path: Path) -> None:
    """Steps are counted by shapes, those of the second Loop by what the first one gave; it runs backwards."""
    first, second = SRU.format(x="x", to="l", w="w", at="i"), SRU.format(x="ls", to="k_", w="w2", at="b")
    proto = net(f"{first} {second} y = MatMul(k_z, v)", inputs="float[4,2,3] x")
    constants = {
        "nought": np.array(0),
        "step": np.array(1),
        "w2": CONSTANTS["w"].T,
        "state": np.zeros((2, 3), np.float32),
    }
    proto.graph.initializer.extend(numpy_helper.from_array(it, name) for name, it in constants.items())
    assert quantize(proto, tmp_path).exit_code == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["agreement"]["qdq_vs_packed_max_lsb"] <= 1
    assert report["coverage"]["macs"] == 1
    lowered = {node.op_type for node in onnx.load(tmp_path / "out" / "model.qdq.onnx").graph.node}
    assert "Loop" not in lowered


@pytest.mark.parametrize(("opset", "axis", "packed"), [(12, 1, False), (12, 2, True), (13, 1, True)])
def test_old_softmaxes_run_over_several_axes(opset: int, axis: int, packed: bool, tmp_path: Path) -> None:
    proto = net(f"m = MatMul(x, w) y = Softmax<axis = {axis}>(m)", opset, "float[2,4,3] x")
    assert quantize(proto, tmp_path).exit_code == 0
    assert (tmp_path / "out" / "model.qpk").exists() == packed
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert not packed or report["agreement"]["qdq_vs_packed_max_lsb"] <= 1


def test_layers_are_compared_where_tensors_have_types_that_numpy_lacks(tmp_path: Path) -> None:
    proto = net("m = MatMul(x, w) h = Cast<to = 22>(m) c = Cast<to = 1>(h) y = MatMul(c, v)", 21)
    assert quantize(proto, tmp_path).exit_code == 0
    words = [
        "compare",
        tmp_path / "net.onnx",
        tmp_path / "out" / "model.qdq.onnx",
        "--data",
        tmp_path / "data.npz",
    ]
    result = CliRunner().invoke(app, [*map(str, words), "--per-layer", "--json"])
    assert result.exit_code == 0, result.stderr
    assert [layer["name"] for layer in json.loads(result.stdout)["layers"]] == ["m", "c", "y"]


def test_a_cell_without_biases_runs_on_every_engine(tmp_path: Path) -> None:
    proto = net("y = RNN<hidden_size = 3>(x, cell, cell)", inputs="float[4,2,3] x")
    proto.graph.initializer.append(numpy_helper.from_array(CONSTANTS["w"][None], "cell"))
    assert quantize(proto, tmp_path).exit_code == 0
    artifact = Artifact.load(tmp_path / "out" / "model.qpk")
    (expected,), (found,) = (
        it.run(feeds(proto)).values() for it in (Engine(artifact), open_engine(artifact)[0])
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("opset", "body"),
    [
        (9, "y, p, q, s, t = BatchNormalization(c, g, g, g, var)"),
        (14, "y, p, q = BatchNormalization<training_mode = 1>(c, g, g, g, var)"),
        (14, "y = BatchNormalization(c, g, g, g, var)"),
    ],
)
def test_normalizations_of_a_batch_compute_what_they_did(opset: int, body: str) -> None:
    proto = net(f"c = Conv(x, k) {body}", opset, IMAGE)
    model = canonical(proto)
    FoldBatchNorm().run(model, PassContext(load_target("generic")))
    (expected,), (found,) = (Session(it, Level.BASIC, 1).run(feeds(proto)) for it in (proto, to_proto(model)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_samples_without_elements_are_refused(tmp_path: Path) -> None:
    result = quantize(net("m = MatMul(x, w) y = MatMul(m, v)", inputs="float[2,0,3] x"), tmp_path)
    assert result.exit_code == 3
    assert "has no elements on the calibration data" in result.stderr


def test_a_quantizer_without_zero_point_is_read(tmp_path: Path) -> None:
    proto = net(
        """xq = QuantizeLinear(x, half) xd = DequantizeLinear(xq, half) wd = DequantizeLinear(codes, half)
        m = MatMul(xd, wd) mq = QuantizeLinear(m, half) y = DequantizeLinear(mq, half)"""
    )
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    words = [
        "plan",
        "import",
        str(tmp_path / "net.onnx"),
        "--float-io",
        "-o",
        str(tmp_path / "read"),
        "--json",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    assert '"kept": []' in result.stdout
