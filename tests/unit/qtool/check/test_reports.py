"""JUnit XML, SARIF and Markdown of a check: valid against their schemas, and saying what was found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import xmlschema

from qtool.check.junit import junit_xml
from qtool.check.sarif import sarif_document
from qtool.check.summary import SHOWN, overview, problems, summary_markdown
from qtool.check.verdict import Case, CheckRun, Finding, Verdict
from qtool.check.write import write_reports


@pytest.fixture
def sarif_schema(repository: Path) -> jsonschema.Draft202012Validator:
    schema = json.loads((repository / "tests" / "schemas" / "sarif.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


def test_junit_is_valid_and_counts_failures_apart_from_errors(run: CheckRun, repository: Path) -> None:
    text = junit_xml(run)
    xmlschema.XMLSchema(str(repository / "tests" / "schemas" / "junit.xsd")).validate(text)
    root = ET.fromstring(text)
    assert {name: root.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "6",
        "failures": "1",
        "errors": "1",
    }
    failure = root.find("testsuite[@name='net']/testcase[@name='plan']/failure")
    assert failure is not None
    assert failure.text == "conv|1: w4a8 became w8a8"
    error = root.find("testsuite[@name='broken']/testcase/error")
    assert error is not None
    assert error.get("message") == "no \ufffd such <file>"


def test_sarif_is_valid_and_places_findings_in_the_file(
    run: CheckRun, sarif_schema: jsonschema.Draft202012Validator
) -> None:
    document = sarif_document(run)
    sarif_schema.validate(document)
    results = document["runs"][0]["results"]
    rules = document["runs"][0]["tool"]["driver"]["rules"]
    assert [rules[result["ruleIndex"]]["id"] for result in results] == [it["ruleId"] for it in results]
    first = results[0]
    assert (first["ruleId"], first["level"]) == ("plan", "error")
    place = first["locations"][0]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "ci/qtool.toml"},
        "region": {"startLine": 7},
    }
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "net/conv|1"
    assert (
        first["relatedLocations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "models/my%20net.onnx"
    )
    assert [result["ruleId"] for result in results] == ["plan", "plan", "compile"]


def test_a_fingerprint_survives_other_numbers(run: CheckRun, verdict_of: Callable[..., Verdict]) -> None:
    def prints(message: str) -> list[str]:
        findings = (Finding("size", "error", message), Finding("size", "error", message, "conv"))
        verdict = verdict_of(cases=(Case("size", "", "", "", findings),))
        results = sarif_document(CheckRun(run.config, (verdict,)))["runs"][0]["results"]
        return [result["partialFingerprints"]["qtool/v1"] for result in results]

    assert prints("one") == prints("two")
    assert len(set(prints("one"))) == 2


def test_a_file_outside_the_folder_is_named_in_full(run: CheckRun, tmp_path: Path) -> None:
    document = sarif_document(replace(run, config=tmp_path / "qtool.toml"))
    place = document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == (tmp_path / "qtool.toml").as_uri()


def test_an_empty_run_is_valid(run: CheckRun, sarif_schema: jsonschema.Draft202012Validator) -> None:
    document = sarif_document(replace(run, verdicts=run.verdicts[2:]))
    sarif_schema.validate(document)
    assert document["runs"][0]["results"] == []


def test_the_summary_says_what_failed(run: CheckRun) -> None:
    text = summary_markdown(run)
    assert text.startswith("# qtool check: 2 of 3 models not as promised: net, broken\n")
    assert "| plan | 2 layers | 1 changed | same | FAILED |" in text
    assert "conv\\|1" not in text.partition("## net")[0]
    assert "- plan: conv|1: w4a8 became w8a8" in text
    assert "## fine: ok" in text
    assert "by the way" not in text


def test_the_overview_has_a_row_per_model(run: CheckRun) -> None:
    rows = overview(run)
    assert [(row["model"], row["state"], row["result"]) for row in rows] == [
        ("net", "FAILED", "1.2 s"),
        ("broken", "ERROR", "1.2 s"),
        ("fine", "ok", "kept"),
    ]
    assert rows[0]["metric"] == "top1 89.00 % (+0.00)"
    assert rows[0]["weights"] == "1 kB (1.00x)"
    assert rows[1]["weights"] == "-"


def test_long_lists_are_cut(verdict_of: Callable[..., Verdict]) -> None:
    findings = tuple(Finding("plan", "error", "moved", f"layer{index}") for index in range(SHOWN + 3))
    lines = list(problems(verdict_of(cases=(Case("plan", "", "", "", findings),))))
    assert len(lines) == SHOWN + 1
    assert lines[-1] == "net, plan: and 3 more"


def test_exit_codes_put_what_does_not_compile_first(run: CheckRun) -> None:
    assert run.exit_code == 3
    assert replace(run, verdicts=run.verdicts[:1]).exit_code == 5
    assert replace(run, verdicts=run.verdicts[2:]).exit_code == 0


def test_all_files_are_written(run: CheckRun, tmp_path: Path) -> None:
    write_reports(run, tmp_path / "out")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"junit.xml", "check.sarif", "summary.md", "check.json"}
    document = json.loads((tmp_path / "out" / "check.json").read_text(encoding="utf-8"))
    assert [(model["name"], model["ok"]) for model in document["models"]] == [
        ("net", False),
        ("broken", False),
        ("fine", True),
    ]
