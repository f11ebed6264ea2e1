"""Input that cannot be used: the message names it, the exit code fits, and nothing is left behind or lost."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import Result

import qtool.cli.quantize

Attempt = Callable[..., Result]


@pytest.fixture
def attempt(cli: Callable[..., Result], tmp_path: Path, rng: np.random.Generator) -> Attempt:
    """Quantize into a folder that holds an earlier result, which a failure must leave as it was."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.qpk").write_bytes(b"earlier")
    np.savez(tmp_path / "calib.npz", x=rng.normal(size=(4, 2, 4, 4)).astype(np.float32))

    def run(model: object, **options: object) -> Result:
        chosen = {"calib": tmp_path / "calib.npz", "target": "bitfusion"} | options
        pairs = [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", value)]
        before = contents(out)
        result = cli("quantize", model, *pairs, "--force", "-o", out)
        assert result.exit_code == 0 or contents(out) == before
        return result

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def model(tmp_path: Path, tiny_model: onnx.ModelProto) -> Path:
    """The tiny model as a file."""
    onnx.save(tiny_model, tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def refused(result: Result, code: int, *words: str) -> None:
    """Failed with this exit code; the message is on standard error, holds these words, is no traceback."""
    assert result.exit_code == code, result.output
    for word in words:
        assert word in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_the_tiny_model_itself_is_fine(attempt: Attempt, model: Path) -> None:
    result = attempt(model)
    assert result.exit_code == 0, result.output


def test_a_model_that_does_not_exist(attempt: Attempt, tmp_path: Path) -> None:
    refused(attempt(tmp_path / "none.onnx"), 3, "none.onnx", "no such model file")


def test_a_file_that_is_no_model(attempt: Attempt, tmp_path: Path) -> None:
    (tmp_path / "notes.onnx").write_text("these are notes", encoding="utf-8")
    refused(attempt(tmp_path / "notes.onnx"), 3, "notes.onnx", "not an ONNX model")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_model(attempt: Attempt, model: Path, share: float) -> None:
    data = model.read_bytes()
    model.write_bytes(data[: int(len(data) * share)])
    refused(attempt(model), 3, "tiny.onnx")


@pytest.mark.parametrize("opset", [6, 999])
def test_an_opset_that_is_not_known(
    attempt: Attempt, model: Path, tiny_model: onnx.ModelProto, opset: int
) -> None:
    tiny_model.opset_import[0].version = opset
    model.write_bytes(tiny_model.SerializeToString())
    refused(attempt(model), 3, "tiny.onnx", str(opset))


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname"])
def test_external_data_that_is_missing_or_elsewhere(
    attempt: Attempt, model: Path, tiny_model: onnx.ModelProto, location: str
) -> None:
    (model.parent.parent / "weights.bin").write_bytes(bytes(24))
    weight = tiny_model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    model.write_bytes(tiny_model.SerializeToString())
    refused(attempt(model), 3, location)


def test_a_name_that_is_no_text(attempt: Attempt, model: Path) -> None:
    data = model.read_bytes()
    assert data.count(b"conv") == 1
    model.write_bytes(data.replace(b"conv", b"co\xff\xfe"))
    refused(attempt(model), 3, "tiny.onnx", "NodeProto.name", "UTF-8")


def test_an_input_that_is_no_tensor(attempt: Attempt, model: Path, tiny_model: onnx.ModelProto) -> None:
    tiny_model.graph.input[0].type.tensor_type.elem_type = TensorProto.UNDEFINED
    model.write_bytes(tiny_model.SerializeToString())
    refused(attempt(model), 3, "no tensor of numbers")


def test_a_list_without_a_type(attempt: Attempt, model: Path, tiny_model: onnx.ModelProto) -> None:
    tiny_model.graph.node[0].attribute.add(name="pads", type=onnx.AttributeProto.INTS)
    model.write_bytes(tiny_model.SerializeToString())
    refused(attempt(model), 3, "tiny.onnx", "pads")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(
    attempt: Attempt, model: Path, tiny_model: onnx.ModelProto, value: float
) -> None:
    weight = numpy_helper.to_array(tiny_model.graph.initializer[0]).copy()
    weight[0] = value
    tiny_model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    model.write_bytes(tiny_model.SerializeToString())
    refused(attempt(model), 3, "NaN", "w")


def test_a_model_with_nothing_to_quantize(attempt: Attempt, model: Path, tiny_model: onnx.ModelProto) -> None:
    del tiny_model.graph.node[:], tiny_model.graph.initializer[:]
    tiny_model.graph.node.append(helper.make_node("Erf", ["x"], ["y"]))
    tiny_model.graph.output[0].type.CopyFrom(tiny_model.graph.input[0].type)
    model.write_bytes(tiny_model.SerializeToString())
    refused(attempt(model), 3, "nothing")


GOOD = np.zeros((2, 2, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"image": GOOD, "mask": GOOD}, ["'x'", "image"]),
        ({"x": GOOD[..., 0]}, ["'x'", "[2, 2, 4]"]),
        ({"x": GOOD[:, :1]}, ["'x'", "[2, 1, 4, 4]"]),
        ({"x": GOOD.astype(np.int32)}, ["'x'", "int32"]),
        ({"x": GOOD.astype(str)}, ["calib.npz"]),
        ({"x": GOOD[:0]}, ["calib.npz", "samples"]),
        ({"x": GOOD + np.float32(np.nan)}, ["'x'", "NaN"]),
        ({"x": GOOD, "labels": np.zeros(3, np.int64)}, ["2 integer labels", "(3,)"]),
        ({}, ["calib.npz", "no arrays"]),
    ],
    ids=["name", "rank", "channels", "type", "text", "empty", "nan", "labels", "nothing"],
)
def test_samples_that_do_not_fit(
    attempt: Attempt, model: Path, tmp_path: Path, arrays: dict[str, Any], words: list[str]
) -> None:
    np.savez(tmp_path / "calib.npz", **arrays)
    refused(attempt(model), 3, *words)


def test_labels_that_do_not_fit_the_held_out_samples(attempt: Attempt, model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "eval.npz", x=GOOD, labels=np.zeros(5, np.int64))
    refused(attempt(model, eval=tmp_path / "eval.npz"), 3, "eval.npz", "2 integer labels", "(5,)")


def test_few_samples_are_said_and_do_not_stop_it(attempt: Attempt, tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.eye(8, 3, dtype=np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    x, y = (helper.make_tensor_value_info(*it) for it in (("x", 1, ["N", 8]), ("y", 1, ["N", 3])))
    graph = helper.make_graph([node], "wide", [x], [y], [weight])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "wide.onnx")
    np.savez(tmp_path / "two.npz", x=np.arange(16, dtype=np.float32).reshape(2, 8))
    pipeline = "canonicalize,allocate{uniform=w4a8},assign-scales,gptq"
    result = attempt(tmp_path / "wide.onnx", calib=tmp_path / "two.npz", pipeline=pipeline)
    assert result.exit_code == 0, result.output
    journal = json.loads((tmp_path / "out" / "report.json").read_text())["journal"]
    assert [it["message"] for it in journal if (it["source"], it["subject"]) == ("gptq", "product")] == [
        "2 vectors for 8 inputs; give more calibration samples"
    ]


def test_samples_whose_header_lies(attempt: Attempt, model: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "calib.npz", "w") as archive, archive.open("x.npy", "w") as member:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 2, 4, 4)}
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(64))
    refused(attempt(model), 3, "calib.npz", "does not fit its bytes")


def test_samples_that_are_no_archive(attempt: Attempt, model: Path, tmp_path: Path) -> None:
    (tmp_path / "calib.npz").write_bytes(b"PK\x03\x04 half")
    refused(attempt(model), 3, "calib.npz")


def test_samples_that_do_not_exist(attempt: Attempt, model: Path, tmp_path: Path) -> None:
    refused(attempt(model, calib=tmp_path / "none.npz"), 3, "none.npz")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "bitfuson"}, ["bitfuson", "did you mean bitfusion"]),
        ({"solver": "ipl"}, ["ipl", "did you mean ilp"]),
        ({"pipeline": "canonicalise"}, ["canonicalise", "did you mean canonicalize"]),
        ({"pipeline": "equalize{iteration=3}"}, ["iteration", "did you mean iterations"]),
        ({"ranges": "msee"}, ["msee", "did you mean mse"]),
        ({"to": "qdq,tflite"}, ["tflite", "qdq"]),
        ({"max_latency": "12"}, ["--max-latency", "ms"]),
        ({"target": "generic", "max_latency": "0.5x"}, ["generic: latency is not estimated"]),
        ({"pin": "nothing*=w8a8"}, ["nothing*"]),
        ({"max_latensy": "0.5x"}, ["--max-latensy", "--max-latency"]),
        ({"preprocess": "resise=8"}, ["resise", "did you mean resize"]),
    ],
)
def test_requests_that_cannot_be_understood(
    attempt: Attempt, model: Path, options: dict[str, str], words: list[str]
) -> None:
    refused(attempt(model, **options), 2, *words)


def test_a_budget_that_cannot_be_met(attempt: Attempt, model: Path) -> None:
    refused(attempt(model, max_latency="1ns"), 4, "latency", "least")


@pytest.mark.parametrize("stage", [0, 1, -1], ids=["first", "second", "last"])
def test_an_interrupt_half_way(
    attempt: Attempt, model: Path, monkeypatch: pytest.MonkeyPatch, stage: int
) -> None:
    stages: list[str] = []
    monkeypatch.setattr(qtool.cli.quantize, "progress", telling(stages.append))
    assert attempt(model).exit_code == 0
    chosen = list(dict.fromkeys(stages))[stage]
    monkeypatch.setattr(qtool.cli.quantize, "progress", telling(interrupting(chosen)))
    assert attempt(model).exit_code == 130


def telling(listen: Callable[[str], None]) -> Callable[..., AbstractContextManager[Callable[..., None]]]:
    """A stand-in for `progress` that hands each stage to a function."""
    return lambda **_: nullcontext(lambda stage, _done, _total: listen(stage))


def interrupting(chosen: str) -> Callable[[str], None]:
    """Ctrl-C during one stage."""

    def listen(stage: str) -> None:
        if stage == chosen:
            raise KeyboardInterrupt

    return listen
