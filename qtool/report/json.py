"""report.json: the report for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtool.report.report import Report


def report_json(report: Report) -> str:
    """Return the text of report.json: two blanks of indentation, keys in the order of `Report`."""
    return json.dumps(report.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
