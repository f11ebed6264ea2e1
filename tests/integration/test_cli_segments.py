"""A model whose constants stay in their files gives what it gives in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from typer.testing import Result

from passes.ir import external, large, mapped

Cli = Callable[..., Result]
WIDTH, LAYERS = 64, 4
MATRIX_BYTES = WIDTH * WIDTH * 4


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (external, mapped):
        monkeypatch.setattr(module, "LEAST", 1024)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A chain of normalizations and products around which the input skips, with weights beside it."""
    rng, nodes, constants, last = np.random.default_rng(0), [], [], "x"
    for at in range(LAYERS):
        weight = rng.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5
        gain = rng.uniform(0.1, 5, WIDTH)
        for name, values in ((f"w{at}", weight), (f"g{at}", gain)):
            constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        nodes += [
            helper.make_node("LayerNormalization", [last, f"g{at}"], [f"n{at}"], f"norm{at}"),
            helper.make_node("MatMul", [f"n{at}", f"w{at}"], [f"m{at}"], f"product{at}"),
            helper.make_node("Add", [f"m{at}", last], [f"s{at}"], f"sum{at}"),
        ]
        last = f"s{at}"
    ends = [helper.make_tensor_value_info(name, 1, ["N", WIDTH]) for name in ("x", last)]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "net.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="net.data", size_threshold=256)
    np.savez(tmp_path / "calib.npz", x=rng.normal(size=(12, WIDTH)).astype(np.float32))
    return path


def quantize(cli: Cli, model: Path, out: Path, *words: str) -> Result:
    calib = model.parents[1] / "calib.npz"
    options = ["--calib", calib, "--eval", calib, "--target", "generic", "--workers", 1, "--to", "qdq,packed"]
    return cli("quantize", model, *options, "--pin", "*=w4a8", "--quiet", "-o", out, *words)


def test_segments_give_the_same_plan_and_model(cli: Cli, model: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for out, words in ((whole, []), (parts, ["--segment-size", f"{1.5 * MATRIX_BYTES}B"])):
        result = quantize(cli, model, out, *words)
        assert result.exit_code == 0, result.output
    for name in ("plan.json", "plan.safetensors", "model.qpk"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    # The plan holds weights that smoothing changed: not all constants came from the model's own file.
    assert json.loads((parts / "plan.json").read_text())["constants"]
    x = np.load(model.parents[1] / "calib.npz")["x"]
    results = [
        onnxruntime.InferenceSession(out / "model.qdq.onnx").run(None, {"x": x})[0] for out in (whole, parts)
    ]
    np.testing.assert_array_equal(*results)
    outside = onnx.load(parts / "model.qdq.onnx", load_external_data=False)
    large = [it for it in outside.graph.initializer if it.data_location == it.EXTERNAL]
    assert len(large) >= LAYERS
    assert {entry.value for it in large for entry in it.external_data if entry.key == "location"} == {
        "model.qdq.onnx.data"
    }


def test_a_model_of_more_than_the_limit_needs_segments(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "MAX_BYTES", 2 * MATRIX_BYTES)
    refused = quantize(cli, model, tmp_path / "out")
    assert refused.exit_code == 3
    assert "--segment-size" in refused.output
    pipeline = 'canonicalize,allocate{pin="*=w8a8"},assign-scales{method=minmax weights=minmax}'
    taken = quantize(cli, model, tmp_path / "out", "--segment-size", "16kB", "--pipeline", pipeline)
    assert taken.exit_code == 0, taken.output


@pytest.mark.parametrize("size", ["0MB", "12", "much"])
def test_a_size_needs_a_unit(cli: Cli, model: Path, tmp_path: Path, size: str) -> None:
    result = quantize(cli, model, tmp_path / "out", "--segment-size", size)
    assert result.exit_code == 2
    assert "--segment-size" in result.output


@pytest.mark.parametrize("damage", ["short", "shape", "absolute"])
def test_damaged_data_are_refused(cli: Cli, model: Path, tmp_path: Path, damage: str) -> None:
    data = model.with_name("net.data")
    proto = onnx.load(model, load_external_data=False)
    weight = next(it for it in proto.graph.initializer if it.name == "w3")
    if damage == "short":
        data.write_bytes(data.read_bytes()[: -MATRIX_BYTES // 2])
    elif damage == "shape":
        weight.dims[0] += 1
    else:
        next(entry for entry in weight.external_data if entry.key == "location").value = str(data)
    model.write_bytes(proto.SerializeToString())
    result = quantize(cli, model, tmp_path / "out", "--segment-size", "20kB")
    assert result.exit_code == 3, result.output
    assert "w3" in result.output
    assert not (tmp_path / "out").exists()


def test_large_models_are_inspected_and_lowered(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert quantize(cli, model, whole).exit_code == 0
    described = cli("inspect", model, "--json").stdout
    for module in (external, large):
        monkeypatch.setattr(module, "MAX_BYTES", 2 * MATRIX_BYTES)
    assert "qtool quantize --segment-size" in cli("opt", model, "-p", "canonicalize").output
    assert cli("inspect", model, "--json").stdout == described
    words = ["--plan", whole / "plan.json", "--to", "qdq,packed", "-o", parts]
    assert cli("lower", model, *words).exit_code == 0
    assert (parts / "model.qpk").read_bytes() == (whole / "model.qpk").read_bytes()
    assert (parts / "model.qdq.onnx.data").exists()
