"""Reports are read back as they were written, and damaged ones are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from passes.errors import ReportError
from qtool.report import Report, report_json
from qtool.report.read import MAX_BYTES, from_json, read_document


@pytest.fixture
def document(full_report: Report) -> dict[str, Any]:
    """The report.json of a report that has everything."""
    return json.loads(report_json(full_report))


def test_what_is_written_is_read_again(full_report: Report, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(report_json(full_report), encoding="utf-8")
    found = read_document(Report, file)
    assert found == full_report
    assert report_json(found) == file.read_text(encoding="utf-8")


def test_a_report_of_an_older_version_lacks_what_was_added(document: dict[str, Any]) -> None:
    for key in ("front", "steps", "distributions", "sensitivity_quality"):
        del document[key]
    found = from_json(Report, document, "report.json")
    assert (found.front, found.steps, found.distributions) == (None, (), ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it.pop("target"), "expected 'target'"),
        (lambda it: it.update(target=7), "target: expected a text, found 7"),
        (lambda it: it.update(seed=True), "seed: expected a whole number, found True"),
        (lambda it: it.update(layers={}), "layers: expected an array"),
        (lambda it: it.update(cost=[]), "cost: expected an object"),
        (lambda it: it.update(versions=[]), "versions: expected an object"),
        (lambda it: it["layers"][0].update(loss="much"), r"layers\[0\]: loss: expected a finite number"),
        (lambda it: it["layers"][0].update(quantized=1), "quantized: expected true or false"),
        (lambda it: it["layers"][0].update(latency_s=10**400), "latency_s: expected a finite number"),
        (lambda it: it["model"].update(path="\ud800"), "path: expected a text"),
    ],
)
def test_a_damaged_report_is_refused(
    document: dict[str, Any], change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    change(document)
    file = tmp_path / "report.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ReportError, match=message):
        read_document(Report, file)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"qtool": NaN}', "\x00"])
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ReportError, match=r"report\.json"):
        read_document(Report, file)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    with file.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(ReportError, match="expected at most"):
        read_document(Report, file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot be read"):
        read_document(Report, tmp_path / "report.json")
