"""SARIF 2.1.0: a result per finding, at the model's table in the file, with its layer as logical location.

Source: OASIS Standard "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", section 3.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qtool import __version__
from qtool.check.digest import text_digest
from qtool.check.verdict import ERROR, Finding, Verdict

if TYPE_CHECKING:
    from qtool.check.verdict import CheckRun

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
COMPILE = "compile"
_RULES = {
    COMPILE: "The model cannot be compiled",
    "baseline": "The baseline does not know the model",
    "plan": "A layer has other bits than in the baseline",
    "coverage": "Too little of the model runs on integers",
    "rebuild": "The same inputs gave other bytes",
}
"""Titles of rules whose name does not say enough."""


def sarif_document(run: CheckRun) -> dict[str, Any]:
    """Return the document: one run with its rules and results, in the order of the models."""
    found = [(verdict, finding) for verdict in run.verdicts for finding in _findings(verdict)]
    rules = list(dict.fromkeys(finding.rule for _, finding in found))
    driver = {"name": "qtool", "version": __version__, "rules": [_rule(name) for name in rules]}
    results = [_result(run.config, rules, verdict, finding) for verdict, finding in found]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _findings(verdict: Verdict) -> tuple[Finding, ...]:
    if verdict.error:
        return (Finding(COMPILE, ERROR, verdict.error),)
    return verdict.findings


def _rule(name: str) -> dict[str, Any]:
    known = f"See docs/lint.md, {name}" if name.startswith("QT") else f"Tolerance {name} broken"
    title = _RULES.get(name, known)
    return {"id": name, "shortDescription": {"text": title}}


def _result(config: Path, rules: list[str], verdict: Verdict, finding: Finding) -> dict[str, Any]:
    name = verdict.model.name
    where = f"{name}, {finding.layer}" if finding.layer else name
    return {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "level": finding.level,
        "message": {"text": f"{where}: {finding.message}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(config)},
                    "region": {"startLine": verdict.model.line},
                },
                "logicalLocations": _logical(name, finding.layer),
            }
        ],
        "relatedLocations": [
            {
                "message": {"text": "the model"},
                "physicalLocation": {"artifactLocation": {"uri": _uri(verdict.model.path)}},
            }
        ],
        # Of what is wrong where, not of how much: the same trouble is the same alert in the next run.
        "partialFingerprints": {"qtool/v1": text_digest(f"{finding.rule}\n{name}\n{finding.layer}")},
    }


def _logical(model: str, layer: str) -> list[dict[str, str]]:
    if not layer:
        return [{"name": model, "fullyQualifiedName": model, "kind": "module"}]
    return [{"name": layer, "fullyQualifiedName": f"{model}/{layer}", "kind": "element"}]


def _uri(path: Path) -> str:
    """Return a path as the URI that code hosts expect: relative to where the check runs, if below it."""
    relative = os.path.relpath(path)
    if relative.startswith(".."):
        return path.resolve().as_uri()
    return quote(Path(relative).as_posix())
