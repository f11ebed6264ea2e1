"""The commands that need no data: targets, passes, allocate, opt."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from typer.testing import Result

Cli = Callable[..., Result]
PROBLEM = {
    "name": "two layers",
    "layers": [
        {
            "name": name,
            "choices": [
                {"weight_bits": 4, "act_bits": 4, "loss": loss, "cost": {"bops": 1.0}},
                {"weight_bits": 8, "act_bits": 8, "loss": 0.0, "cost": {"bops": 4.0}},
            ],
        }
        for name, loss in (("a", 1.0), ("b", 2.0))
    ],
    "ties": [],
}
MACHINE = """
[arithmetic]
weight_bits = [4, 8]
act_bits = [8]
accumulator_bits = 32
rounding = "half_even"
shared_parameter_ops = []
source = "a test"

[machine]
name = "mine"
architecture = "generic"
description = "counts bits"
"""


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    """A problem of two layers and two choices."""
    (tmp_path / "problem.json").write_text(json.dumps(PROBLEM), encoding="utf-8")
    return tmp_path / "problem.json"


def test_a_problem_is_solved(cli: Cli, problem: Path) -> None:
    out = problem.with_name("solution.json")
    result = cli("allocate", problem, "--budget", "bops=5", "--json", "-o", out)
    document = json.loads(result.stdout)
    assert document["status"] == "optimal"
    assert (document["loss"], document["bound"], document["cost"]) == (1.0, 1.0, {"bops": 5.0})
    assert document["layers"] == [
        {"name": "a", "weight_bits": 4, "act_bits": 4, "choice": 0},
        {"name": "b", "weight_bits": 8, "act_bits": 8, "choice": 1},
    ]
    assert json.loads(out.read_text(encoding="utf-8")) == document


def test_a_fraction_is_of_the_way_between_uniform_choices(cli: Cli, problem: Path) -> None:
    result = cli("allocate", problem, "--budget", "bops=0.5f", "--json")
    assert json.loads(result.stdout)["cost"]["bops"] == 5.0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--budget", "bops=1"], 4, "bops: the limit is 1, the least that is feasible is 2"),
        (["--budget", "bop=1"], 2, "did you mean bops"),
        (["--budget", "bops=one"], 2, "bops=one"),
        (["--minimize", "latency"], 2, "latency"),
        (["--solver", "greedi"], 2, "did you mean greedy"),
    ],
)
def test_a_problem_that_cannot_be_solved(
    cli: Cli, problem: Path, words: list[str], code: int, message: str
) -> None:
    result = cli("allocate", problem, *words, "-o", problem.with_name("solution.json"))
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert not problem.with_name("solution.json").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"layers": []}', '{"layers": [{"name": "a", "choices": []}]}']
)
def test_a_file_that_is_no_problem(cli: Cli, tmp_path: Path, text: str) -> None:
    (tmp_path / "problem.json").write_text(text, encoding="utf-8")
    result = cli("allocate", tmp_path / "problem.json")
    assert result.exit_code == 3
    assert "problem.json" in result.stderr


def test_targets_are_listed_and_shown(cli: Cli) -> None:
    names = [row["name"] for row in json.loads(cli("targets", "list", "--json").stdout)["targets"]]
    assert {"bitfusion", "generic"} <= set(names)
    shown = json.loads(cli("targets", "show", "bitfusion", "--json").stdout)
    assert shown["rules"][0]["pairs"] == "w2,4,8,16 x a2,4,8,16"


def test_layers_are_priced(cli: Cli, tmp_path: Path) -> None:
    layers = tmp_path / "layers.csv"
    layers.write_text("layer,kernel,out_size,stride,in_ch,out_ch\nconv,3,56,1,64,64\n", encoding="utf-8")
    result = cli("targets", "price", "bitfusion", "--layers", layers, "--precision", "w8a8", "--json")
    document = json.loads(result.stdout)
    assert document["layers"][0] | {"energy_j": 0} == {
        "layer": "conv",
        "priced_as": "w8a8",
        "cycles": 225792,
        "latency_s": pytest.approx(225792 / 500e6),
        "energy_j": 0,
        "weight_bytes": 36864,
        "bops": 64 * 64 * 9 * 56 * 56 * 64,
    }
    refused = cli("targets", "price", "bitfusion", "--layers", layers, "--precision", "8")
    assert (refused.exit_code, "--precision" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MACHINE + '[memory]\nsize = 3\nsource = "a guess"\n', "missing unit"),
        (MACHINE + "colour = 1\n", "colour"),
        (MACHINE + 'name = "again"\n', "every key once"),
        (MACHINE.replace("generic", "quantum"), "quantum"),
        (MACHINE + "[memory]\nsize_bytes = 3\n", "source"),
        ("", "[machine]"),
    ],
    ids=["unit", "unknown key", "duplicate key", "architecture", "source", "empty"],
)
def test_a_machine_file_with_a_mistake(cli: Cli, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    result = cli("targets", "check", tmp_path / "mine.toml")
    assert result.exit_code == 3, result.output
    assert "mine.toml" in result.stderr
    assert message in result.stderr


def test_a_good_machine_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(MACHINE, encoding="utf-8")
    result = cli("targets", "check", tmp_path / "mine.toml", "--json")
    assert json.loads(result.stdout)["valid"] is True


def test_a_machine_file_that_is_not_one(cli: Cli, tmp_path: Path) -> None:
    assert cli("targets", "check", tmp_path / "none.toml").exit_code == 3
    assert cli("targets", "check", tmp_path / "spec.json").exit_code == 2


def test_passes_are_listed_and_shown(cli: Cli) -> None:
    rows = json.loads(cli("passes", "list", "--json").stdout)["passes"]
    assert "canonicalize" in [row["name"] for row in rows]
    shown = json.loads(cli("passes", "show", "equalize", "--json").stdout)
    assert shown["options"][0]["option"] == "iterations"
    assert shown["options"][0]["meaning"]
    unknown = cli("passes", "show", "equalise")
    assert (unknown.exit_code, "did you mean equalize" in unknown.stderr) == (2, True)


def test_opt_runs_a_pipeline(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    words = ["--verify-each", "--time-passes", "--dump-dir", tmp_path / "steps", "--json"]
    text = "canonicalize,fold-batchnorm"
    result = cli("opt", quickstart / "digits.onnx", "-p", text, *words, "-o", tmp_path / "folded.onnx")
    assert result.exit_code == 0, result.output
    assert [row["pass"] for row in json.loads(result.stdout)["passes"]] == text.split(",")
    assert len(result.stderr.splitlines()) == 2
    dumped = ["000_canonicalize.onnx", "001_fold-batchnorm.onnx"]
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == dumped
    ops = {node.op_type for node in onnx.load(tmp_path / "folded.onnx").graph.node}
    assert "BatchNormalization" not in ops


def test_opt_prints_the_pipeline_as_it_understands_it(cli: Cli, tmp_path: Path) -> None:
    text = "canonicalize, equalize{iterations=5 limit=10000.0}"
    result = cli("opt", tmp_path / "unread.onnx", "-p", text, "--print-pipeline")
    assert result.stdout == "canonicalize,equalize{iterations=5}\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-p", "canonicalise"], 2, "did you mean canonicalize"),
        (["-p", "equalize{iteration=2}"], 2, "did you mean iterations"),
        (["-p", "equalize{iterations=two}"], 2, "character"),
        (["-p", "canonicalize", "--stop-after", "lower"], 2, "lower"),
        (["-p", "canonicalize", "--plugin", "no.such.module"], 2, "no.such.module"),
        (["-p", "lower"], 3, "in pass 1 of 1, lower"),
    ],
)
def test_a_pipeline_that_cannot_run(
    cli: Cli, quickstart: Path, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    result = cli("opt", quickstart / "digits.onnx", *words, "-o", tmp_path / "out.onnx")
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", ["1, 8, 8", "4, 1, 8, 8"])
def test_functions_in_the_current_folder_give_samples_or_batches(
    tmp_path: Path, quickstart: Path, shape: str
) -> None:
    (tmp_path / "my_data.py").write_text(
        f"""import numpy as np
def samples():
    yield {{"image": np.ones(({shape}), np.float32)}}
    yield {{"image": np.zeros(({shape}), np.float32)}}
""",
        encoding="utf-8",
    )
    words = ["quantize", quickstart / "digits.onnx", "--calib", "my_data:samples", "--target", "generic"]
    script = Path(sys.executable).parent / "qtool"
    run = [str(word) for word in (script, *words, "--to", "qdq", "-o", tmp_path / "out", "-q")]
    result = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
