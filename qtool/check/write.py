"""Writes the reports of a check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.check.junit import junit_xml
from qtool.check.sarif import sarif_document
from qtool.check.summary import summary_markdown
from qtool.files import write_json, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from qtool.check.verdict import CheckRun

JUNIT, SARIF, SUMMARY, DOCUMENT = "junit.xml", "check.sarif", "summary.md", "check.json"


def write_reports(run: CheckRun, folder: Path) -> None:
    """Write JUnit XML, SARIF, the Markdown summary and the JSON document into a folder.

    Raises:
        OSError: the folder cannot be written.
    """
    write_text(junit_xml(run), folder / JUNIT)
    write_json(sarif_document(run), folder / SARIF)
    write_text(summary_markdown(run), folder / SUMMARY)
    write_json(run.to_json(), folder / DOCUMENT)
