"""Models that leave sizes open: samples of several sizes, work priced at one, results for any."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser
from typer.testing import Result

Cli = Callable[..., Result]
TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[batch,3,height,width] x, float rate) => (float[batch,rows,4] y, float s)
{
    c = Conv<pads = [1,1,1,1]>(x, w)
    r = Relu(c)
    d = Conv<strides = [2,2]>(r, v)
    t = Transpose<perm = [0,2,3,1]>(d)
    y = Reshape(t, shape)
    s = Mul(rate, two)
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two convolutions over pictures of any size, and a number that goes its own way."""
    proto, rng = parser.parse_model(TEXT), np.random.default_rng(0)
    constants = {
        "w": rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "v": rng.normal(size=(4, 8, 1, 1)).astype(np.float32),
        "shape": np.array([0, -1, 4]),
        "two": np.array(2, np.float32),
    }
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    return tmp_path / "net.onnx"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of three sizes, a file each."""
    rng = np.random.default_rng(1)
    (tmp_path / "data").mkdir()
    for at, (height, width) in enumerate([(8, 8), (6, 10), (12, 4)]):
        x = rng.normal(size=(1, 3, height, width)).astype(np.float32)
        np.savez(tmp_path / "data" / f"{at}.npz", x=x, rate=np.float32(0.5))
    return tmp_path / "data"


def test_pictures_of_several_sizes_go_all_the_way(
    cli: Cli, model: Path, pictures: Path, tmp_path: Path
) -> None:
    words = ["--calib", pictures, "--eval", pictures, "--target", "bitfusion", "-o", tmp_path / "out"]
    result = cli("quantize", model, *words, "--quiet")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["metric"]["samples"] == 3
    assert report["metric"]["quantized"] > 0.9
    # 27 products for each of 8 x 8 x 8 results, and 8 for each of 4 x 4 x 4, as the first picture has them.
    assert report["cost"]["bops"] == 64 * (27 * 8 * 64 + 8 * 4 * 16)
    written = onnx.load(tmp_path / "out/model.qdq.onnx")
    assert [dim.dim_param for dim in written.graph.input[0].type.tensor_type.shape.dim][2:] == [
        "height",
        "width",
    ]
    session = onnxruntime.InferenceSession(written.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": np.zeros((2, 3, 20, 16), np.float32), "rate": np.array(1, np.float32)})
    assert found[0].shape == (2, 80, 4)


def test_plans_are_searched_on_pictures_of_several_sizes(
    cli: Cli, model: Path, pictures: Path, tmp_path: Path
) -> None:
    """The rows of a result are as many as its picture has places; every plan is measured on all of them."""
    words = ["--calib", pictures, "--eval", pictures, "--target", "bitfusion", "--quiet", "--hopeless", "1%"]
    options = ["--solver", "random", "--evaluations", "4", "--objectives", "loss,size", "--bits", "2,8"]
    options += ["--sensitivity", "size-only"]
    result = cli("search", model, *words, *options, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    front = json.loads((tmp_path / "out/front.json").read_text())["front"]
    losses = {entry["cost"]["weight_bytes"]: entry["loss"] for entry in front}
    assert losses[max(losses)] < 0.1 < losses[min(losses)]


@pytest.mark.parametrize(("shape", "side"), [("x=1,3,32,48", (32, 48)), ("x=1,3,4,4", (4, 4))])
def test_work_is_counted_at_the_shape_asked_for(
    cli: Cli, model: Path, shape: str, side: tuple[int, int]
) -> None:
    result = cli("inspect", model, "--shape", shape, "--json")
    assert result.exit_code == 0, result.output
    area = side[0] * side[1]
    assert json.loads(result.stdout)["macs"] == 27 * 8 * area + 8 * 4 * area // 4


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("x=1,4,8,8", ["expected ?,3,?,?", "1,4,8,8"]),
        ("y=1,3,8,8", ["no input 'y'", "x, rate"]),
        ("x=1,3", ["found 1,3"]),
        ("x=1,3,0,8", ["--shape: expected NAME=1,3,480,640"]),
        ("x", ["--shape: expected NAME="]),
    ],
)
def test_shapes_that_cannot_be_are_refused(cli: Cli, model: Path, shape: str, words: list[str]) -> None:
    result = cli("inspect", model, "--shape", shape)
    assert result.exit_code == 2
    for word in words:
        assert word in result.stderr


def test_shapes_that_depend_on_values_are_observed(cli: Cli, tmp_path: Path) -> None:
    """How many rows the second product has only a run can tell: shape inference does not follow NonZero."""
    rng = np.random.default_rng(0)
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[n,4] x) => (float y)
    { h = MatMul(x, w)
      s = Abs(h)
      at = NonZero(s)
      rows = Transpose(at)
      column = Gather<axis = 1>(rows, zero)
      g = Gather(h, column)
      m = MatMul(g, v)
      y = ReduceMean<keepdims = 0>(m) }
    """
    proto = parser.parse_model(text)
    constants = {
        "w": rng.normal(size=(4, 4)).astype(np.float32),
        "v": rng.normal(size=(4, 2)).astype(np.float32),
    }
    constants["zero"] = np.array(0)  # type: ignore[assignment]
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(5, 4)).astype(np.float32))
    words = ["--calib", tmp_path / "x.npz", "--target", "bitfusion", "-o", tmp_path / "out", "--quiet"]
    result = cli("quantize", tmp_path / "net.onnx", *words)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out/report.json").read_text())
    works = {layer["op"]: layer["bops"] for layer in report["layers"][1:]}
    # One sample has 4 entries other than zero, and so 4 rows of 4 x 2 products.
    assert works["MatMul"] == 64 * 4 * 4 * 2


def test_inputs_of_fixed_and_different_shapes_are_compared_whole(cli: Cli, tmp_path: Path) -> None:
    """No axis counts samples: neither form may cut the second factor to the length of the first."""
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> net (float[3,4] a, float[4,5] b) => (float[3,5] y)'
        "{ y = MatMul(a, b) }"
    )
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.normal(size=(3, 4)).astype(np.float32),
        "b": rng.normal(size=(4, 5)).astype(np.float32),
    }
    np.savez(tmp_path / "x.npz", **arrays)
    words = ["--calib", tmp_path / "x.npz", "--eval", tmp_path / "x.npz", "--target", "generic", "--quiet"]
    result = cli("quantize", tmp_path / "net.onnx", *words, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["agreement"] == {
        "qdq_vs_packed_max_lsb": 0,
        "top1_agreement": 1.0,
        "top1_vs_float": 1.0,
    }


def test_results_that_are_no_tensors_are_left_out_of_the_comparison(cli: Cli, tmp_path: Path) -> None:
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> net (float[n,4] x) => (float[n,3] y, seq(float[n,3]) s)'
        "{ y = MatMul(x, w) s = SequenceConstruct(y, y) }"
    )
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3)).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(8, 4)).astype(np.float32))
    words = ["--calib", tmp_path / "x.npz", "--eval", tmp_path / "x.npz", "--target", "generic", "--quiet"]
    result = cli("quantize", tmp_path / "net.onnx", *words, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out/report.json").read_text())["metric"]["samples"] == 8


def test_a_model_that_does_not_run_at_a_shape_keeps_what_is_known(cli: Cli, tmp_path: Path) -> None:
    """The rows of the sum depend on values, and no run gets there: the batch must be even."""
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> net (float[n,4] x) => (float[m] y)'
        "{ r = Reshape(x, eight) h = MatMul(r, w) a = Abs(h) at = NonZero(a) t = Cast<to = 1>(at)"
        "  y = ReduceSum<keepdims = 0>(t, zero) }"
    )
    constants = {"eight": np.array([-1, 8]), "w": np.ones((8, 2), np.float32), "zero": np.array([0])}
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    result = cli("inspect", tmp_path / "net.onnx", "--shape", "x=3,4", "--json")
    assert result.exit_code == 0, result.output
