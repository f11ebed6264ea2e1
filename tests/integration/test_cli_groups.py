"""``--group-size`` from the command line to files that run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import Result

Cli = Callable[..., Result]


@pytest.fixture
def words(quickstart: Path) -> list[object]:
    data = ["--calib", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    return [
        "quantize",
        quickstart / "digits.onnx",
        *data,
        "--target",
        "generic",
        "--pin",
        "*=w4a8",
        "--quiet",
    ]


def test_groups_reach_every_file(cli: Cli, words: list[object], tmp_path: Path) -> None:
    for size in (0, 16):
        result = cli(*words, "--group-size", size, "-o", tmp_path / str(size))
        assert result.exit_code == 0, result.output
    plan = json.loads((tmp_path / "16" / "plan.json").read_text(encoding="utf-8"))
    grouped = {name: entry for name, entry in plan["tensors"].items() if "group_size" in entry}
    multipliers = sum(np.size(entry["scale"]) for entry in grouped.values())
    assert multipliers > 0
    reports = [json.loads((tmp_path / str(size) / "report.json").read_text("utf-8")) for size in (0, 16)]
    sizes = [report["cost"]["weight_bytes"] for report in reports]
    assert sizes[1] - sizes[0] == multipliers
    proto = onnx.load(tmp_path / "16" / "model.qdq.onnx")
    attributes = [attribute for node in proto.graph.node for attribute in node.attribute]
    blocks = [attribute.i for attribute in attributes if attribute.name == "block_size"]
    assert blocks == [16] * len(grouped)
    assert reports[1]["agreement"]["qdq_vs_packed_max_lsb"] <= 1
    assert reports[1]["agreement"]["top1_agreement"] > 0.99


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--group-size", 20], "expected one of"),
        (["--group-size", 32, "--target", "bitfusion"], "leave the groups out"),
    ],
)
def test_what_cannot_be_is_refused(
    cli: Cli, words: list[object], tmp_path: Path, options: list[object], message: str
) -> None:
    result = cli(*words, *options, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
