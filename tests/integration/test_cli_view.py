"""``qtool view``: what Netron is given, and what is said where it is missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from typer.testing import Result

Cli = Callable[..., Result]


def metadata(model: onnx.ModelProto) -> dict[str, dict[str, str]]:
    """Return the metadata of the nodes that have any."""
    nodes = {node.name: {it.key: it.value for it in node.metadata_props} for node in model.graph.node}
    return {name: told for name, told in nodes.items() if told}


@pytest.mark.parametrize("form", ["Q/DQ", "float"])
def test_every_layer_tells_its_bits(
    cli: Cli, compiled: Path, quickstart: Path, tmp_path: Path, form: str
) -> None:
    shown = [compiled] if form == "Q/DQ" else [quickstart / "digits.onnx", "--run", compiled]
    result = cli("view", *shown, "-o", tmp_path / "seen.onnx")
    assert result.exit_code == 0, result.output
    model = onnx.load(tmp_path / "seen.onnx")
    onnx.checker.check_model(model)
    layers = json.loads((compiled / "report.json").read_text(encoding="utf-8"))["layers"]
    told = metadata(model)
    assert {name: (it["qtool.weight_bits"], it["qtool.act_bits"]) for name, it in told.items()} == {
        layer["name"]: (str(layer["weight_bits"]), str(layer["act_bits"])) for layer in layers
    }
    said = cli("view", *shown, "-o", tmp_path / "again.onnx", "--json")
    assert json.loads(said.stdout)["annotated_layers"] == len(layers)
    assert float(told[layers[0]["name"]]["qtool.loss"]) == pytest.approx(layers[0]["loss"], rel=1e-4)


def test_netron_is_given_the_model(cli: Cli, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def start(path: str, port: int | None) -> None:
        given.append((Path(path).name, port, metadata(onnx.load(path))))

    netron = SimpleNamespace(start=start, wait=lambda: given.append("waited"), __spec__=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "netron", netron)
    assert cli("view", compiled, "--port", 8099).exit_code == 0
    (name, port, told), waited = given
    assert (name, port, waited) == ("model.qdq.onnx", 8099, "waited")
    assert told


def test_without_netron_the_extra_is_named(cli: Cli, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtool.view.find_spec", lambda name: None)
    result = cli("view", compiled)
    assert result.exit_code == 2
    assert "qtool[view]" in result.stderr


def test_a_model_of_another_run_is_refused(cli: Cli, compiled: Path, tmp_path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="alone")
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    onnx.save(
        onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:])), tmp_path / "m.onnx"
    )
    result = cli("view", tmp_path / "m.onnx", "--run", compiled, "-o", tmp_path / "seen.onnx")
    assert result.exit_code == 3
    assert "found none" in result.stderr
    assert not (tmp_path / "seen.onnx").exists()
