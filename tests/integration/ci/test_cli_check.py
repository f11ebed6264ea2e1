"""``qtool check`` on a small repository: green, red for what it must be red for, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import xmlschema
from typer.testing import Result

Cli = Callable[..., Result]


def failed(folder: Path) -> dict[str, list[str]]:
    """The checks that failed in the last run, with the layers of their findings."""
    document = json.loads((folder / "qtool-out" / "check.json").read_text(encoding="utf-8"))
    return {
        case["name"]: [finding["layer"] for finding in case["findings"] if finding["level"] == "error"]
        for case in document["models"][0]["cases"]
        if not case["ok"]
    }


def check_reports(out: Path, schemas: Path) -> None:
    """Hold JUnit XML and SARIF of a run against their schemas, and their findings against each other."""
    xmlschema.XMLSchema(str(schemas / "junit.xsd")).validate(str(out / "junit.xml"))
    sarif = json.loads((out / "check.sarif").read_text(encoding="utf-8"))
    jsonschema.validate(sarif, json.loads((schemas / "sarif.json").read_text(encoding="utf-8")))
    places = [result["locations"][0] for result in sarif["runs"][0]["results"]]
    assert {it["physicalLocation"]["region"]["startLine"] for it in places} == {12}
    assert "net/hidden" in {it["logicalLocations"][0]["fullyQualifiedName"] for it in places}


def test_nothing_changed_is_green_and_compiles_nothing(cli: Cli, repo: Path) -> None:
    result = cli("check", repo / "qtool.toml")
    assert result.exit_code == 0, result.output
    assert "1 model ok" in result.stdout
    assert "kept" in result.stdout
    assert {file.name for file in (repo / "qtool-out" / "models" / "net").iterdir()} >= {
        "model.qdq.onnx",
        "model.qpk",
        "plan.json",
    }


def test_a_regression_of_two_points_is_red(cli: Cli, repo: Path, regress: Callable[[Path], None]) -> None:
    regress(repo)
    result = cli("check", repo / "qtool.toml")
    assert result.exit_code == 5, result.output
    assert {"accuracy", "accuracy-packed"} <= failed(repo).keys()
    assert "below the baseline" in result.stdout
    assert "plan" not in failed(repo)


def test_other_bits_are_a_changed_plan_and_a_size_overrun(cli: Cli, repo: Path, repository: Path) -> None:
    config = (repo / "qtool.toml").read_text(encoding="utf-8")
    (repo / "qtool.toml").write_text(config.replace("hidden=w7a8", "hidden=w8a8"), encoding="utf-8")
    result = cli("check", repo / "qtool.toml")
    assert result.exit_code == 5, result.output
    assert failed(repo)["plan"] == ["hidden"]
    assert failed(repo)["size"] == [""]
    check_reports(repo / "qtool-out", repository / "tests" / "schemas")
    summary = (repo / "qtool-out" / "summary.md").read_text(encoding="utf-8")
    assert "hidden: w7a8 became w8a8" in summary
    assert "Not as they were at the baseline: options." in summary


def test_an_absolute_limit_needs_no_baseline(cli: Cli, repo: Path) -> None:
    with (repo / "qtool.toml").open("a", encoding="utf-8") as file:
        file.write('[models.net.tolerances]\nsize = "100B"\n')
    result = cli("check", repo / "qtool.toml", "--update-baseline", "--json")
    assert result.exit_code == 5
    assert json.loads(result.stdout)["exit_code"] == 5
    assert failed(repo) == {"size": [""]}


def test_a_model_without_a_baseline_is_red(cli: Cli, repo: Path) -> None:
    (repo / "qtool-baseline.json").unlink()
    result = cli("check", repo / "qtool.toml")
    assert result.exit_code == 5
    assert failed(repo) == {"baseline": [""]}
    assert "--update-baseline" in result.stdout


def test_updating_takes_what_is_found_for_right(
    cli: Cli, repo: Path, regress: Callable[[Path], None]
) -> None:
    before = (repo / "qtool-baseline.json").read_bytes()
    regress(repo)
    assert cli("check", repo / "qtool.toml", "--update-baseline", "--quiet").exit_code == 0
    assert cli("check", repo / "qtool.toml", "--quiet").exit_code == 0
    assert (repo / "qtool-baseline.json").read_bytes() != before


def test_a_rebuild_gives_the_same_bytes(cli: Cli, repo: Path) -> None:
    result = cli("check", repo / "qtool.toml", "--rebuild")
    assert result.exit_code == 0, result.output
    document = json.loads((repo / "qtool-out" / "check.json").read_text(encoding="utf-8"))
    assert document["models"][0]["cases"][-1]["found"] == "4 files the same"


def test_a_model_that_does_not_compile_is_an_error_beside_the_others(cli: Cli, repo: Path) -> None:
    with (repo / "qtool.toml").open("a", encoding="utf-8") as file:
        file.write(
            '[models.gone]\nmodel = "gone.onnx"\n[models.tight]\nmodel = "net.onnx"\nmax_size = "1B"\n'
        )
    result = cli("check", repo / "qtool.toml")
    assert result.exit_code == 3, result.output
    assert "gone.onnx: expected an .onnx file" in result.stdout
    document = json.loads((repo / "qtool-out" / "check.json").read_text(encoding="utf-8"))
    assert [model["ok"] for model in document["models"]] == [True, False, False]
    assert "the least that is feasible" in document["models"][2]["error"]


def test_a_damaged_result_is_made_again(cli: Cli, repo: Path) -> None:
    artifact = next((repo / "qtool-out" / "cache").glob("*/model.qpk"))
    artifact.write_bytes(artifact.read_bytes()[:-1])
    assert cli("check", repo / "qtool.toml").exit_code == 0
    document = json.loads((repo / "qtool-out" / "check.json").read_text(encoding="utf-8"))
    assert document["models"][0]["cached"] is False


def test_a_warm_run_loads_nothing_heavy(repo: Path, repository: Path) -> None:
    code = (
        "import sys; from qtool.cli.main import app\n"
        "try: app(['check', sys.argv[1], '--quiet'])\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, str(repo / "qtool.toml")]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "qtool" in loaded
    assert not loaded & {"onnx", "onnxruntime", "onnx_graphsurgeon", "scipy", "networkx", "torch"}


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", 3, "expected a table [models.NAME]"),
        ("[models.a]\nmodle = 'x'", 3, "[models.a] model: expected the path"),
        ("[models.a]\nmodel = 'x'\ntarget = 'generic'\nsample = 3", 3, "did you mean samples?"),
        ("[models.a]\nmodel = 'x'\ntarget = 'generic'\n[tolerances]\nlint = 'all'", 2, "tolerance lint"),
    ],
)
def test_a_file_that_cannot_be_used(cli: Cli, tmp_path: Path, text: str, code: int, message: str) -> None:
    (tmp_path / "qtool.toml").write_text(text, encoding="utf-8")
    result = cli("check", tmp_path / "qtool.toml")
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "qtool-out").exists()
