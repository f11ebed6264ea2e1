"""``qtool report``, ``explain`` and ``compare-runs`` on the folder of a real run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]


@pytest.fixture
def copied(compiled: Path, tmp_path: Path) -> Path:
    """The folder of a run, to be changed."""
    return Path(shutil.copytree(compiled, tmp_path / "run"))


@pytest.fixture(scope="module")
def uniform(cli: Cli, quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run without a budget."""
    out = tmp_path_factory.mktemp("uniform") / "out"
    words = ["--calib", quickstart / "digits_calib.npz", "--target", "bitfusion", "--samples", 16, "--quiet"]
    result = cli("quantize", quickstart / "digits.onnx", *words, "-o", out)
    assert result.exit_code == 0, result.output
    return out


def test_the_page_is_made_again_from_the_other_files(cli: Cli, copied: Path) -> None:
    page = copied / "report.html"
    before = page.read_bytes()
    page.unlink()
    result = cli("report", copied, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"page": str(page)}
    assert page.read_bytes() == before
    assert len(before) < 2_000_000


def test_the_report_says_what_the_page_needs(compiled: Path) -> None:
    report = json.loads((compiled / "report.json").read_text())
    problem = json.loads((compiled / "problem.json").read_text())
    names = [layer["name"] for layer in report["layers"]]
    assert [layer["name"] for layer in problem["layers"]] == names == report["front"]["layers"]
    assert report["front"]["points"][0]["weight_bits"] == [it["weight_bits"] for it in report["layers"]]
    assert {entry["role"] for entry in report["distributions"]} == {"weight", "act"}
    assert len(report["steps"]) > len(names)
    assert len(report["sensitivity_quality"]["measured"]) == report["sensitivity_quality"]["plans"]
    assert all(max(it["compute_s"], it["memory_s"]) == it["latency_s"] for it in report["layers"])


def test_a_problem_of_another_run_is_passed_over(cli: Cli, copied: Path, uniform: Path) -> None:
    shutil.copy(copied / "problem.json", uniform / "problem.json")
    result = cli("report", uniform)
    (uniform / "problem.json").unlink()
    assert result.exit_code == 0, result.output
    assert "No allocation was solved" in (uniform / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("report.json", "{}", "report.json: expected 'qtool'"),
        ("report.json", "{", "cannot be read as a report"),
        ("problem.json", "[]", "problem.json: expected an object"),
        ("problem.json", '{"layers": []}', "there are no layers"),
    ],
)
def test_damaged_files_are_refused_by_name(
    cli: Cli, copied: Path, file: str, content: str, message: str
) -> None:
    (copied / file).write_text(content, encoding="utf-8")
    before = (copied / "report.html").read_bytes()
    result = cli("report", copied)
    assert result.exit_code == 3, result.output
    assert message in " ".join(result.stderr.split())
    assert (copied / "report.html").read_bytes() == before


@pytest.mark.parametrize("command", [("report",), ("explain", "conv")])
def test_a_folder_without_results_is_refused(cli: Cli, tmp_path: Path, command: tuple[str, ...]) -> None:
    result = cli(command[0], tmp_path, *command[1:])
    assert result.exit_code == 3
    assert "neither report.json nor front.json" in result.stderr


def test_a_layer_is_explained(cli: Cli, compiled: Path) -> None:
    result = cli("explain", compiled, "residual_out.conv")
    assert result.exit_code == 0, result.output
    assert "The budget on latency binds" in result.stdout
    assert "(taken)" in result.stdout
    document = json.loads(cli("explain", compiled, "residual_out.conv", "--json").stdout)
    (taken,) = (choice for choice in document["choices"] if choice["taken"])
    assert document["taken"] == f"w{taken['weight_bits']}a{taken['act_bits']}"
    assert taken["change"]["loss"] == 0.0
    assert document["bound"] <= document["objective"]["value"]
    assert document["budgets"][0]["price"] > 0


def test_a_layer_that_is_not_there_has_a_neighbour(cli: Cli, compiled: Path) -> None:
    result = cli("explain", compiled, "stem.con")
    assert result.exit_code == 2
    assert "did you mean stem.conv" in result.stderr


@pytest.mark.parametrize(
    ("more", "message"), [([], "give qtool quantize a budget"), (["--point", 0], "leave it out")]
)
def test_a_uniform_plan_has_no_reasons(cli: Cli, uniform: Path, more: list[object], message: str) -> None:
    result = cli("explain", uniform, "stem.conv", *more)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_runs_are_compared_in_every_format(cli: Cli, compiled: Path, uniform: Path, tmp_path: Path) -> None:
    text = cli("compare-runs", uniform, compiled)
    assert text.exit_code == 0, text.output
    assert "w-4 a-4" in text.stdout
    markdown = cli("compare-runs", uniform, compiled, "--format", "markdown")
    assert "| latency |" in markdown.stdout
    page = tmp_path / "changes.html"
    assert cli("compare-runs", uniform, compiled, "--format", "html", "-o", page).exit_code == 0
    assert "w-4 a-4" in page.read_text(encoding="utf-8")
    document = json.loads(cli("compare-runs", uniform, compiled, "--json").stdout)
    assert document["runs"] == [str(uniform), str(compiled)]
    assert document["equal_layers"] + len(document["layers"]) == 8


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--format", "yaml"], 2, "unknown format"),
        (["-o", "changes.txt"], 2, "--format markdown"),
        (["nowhere"], 3, "found no report.json"),
    ],
)
def test_comparisons_that_cannot_be(
    cli: Cli, compiled: Path, more: list[str], code: int, message: str
) -> None:
    result = cli("compare-runs", compiled, compiled, *more)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
