"""What a search is asked for when little is said."""

from __future__ import annotations

import inspect
from pathlib import Path

from qtool.cli.search import search
from qtool.exploration.request import SENSITIVITY
from qtool.keywords import search_request


def test_command_and_function_measure_losses_at_all_widths(tmp_path: Path) -> None:
    options = {"calib": "calib.npz", "eval": "eval.npz"}
    request = search_request("model.onnx", "bitfusion", tmp_path / "out", options)
    assert request.base.sensitivity == SENSITIVITY
    assert inspect.signature(search).parameters["sensitivity"].default == SENSITIVITY


def test_another_estimate_may_be_asked_for(tmp_path: Path) -> None:
    options = {"calib": "calib.npz", "eval": "eval.npz", "sensitivity": "scaled"}
    request = search_request("model.onnx", "bitfusion", tmp_path / "out", options)
    assert request.base.sensitivity == "scaled"
