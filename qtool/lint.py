"""Lint a file: findings as a document, and as text for people."""

from __future__ import annotations

from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING, Any

from passes.ir.onnx_io import read_proto
from passes.lint.finding import Finding, Severity
from passes.lint.lint import lint
from passes.lint.runtime import parse_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SHOWN = 5
"""Places of one rule that people are shown; JSON has them all."""


def lint_model(path: Path, runtime: str | None = None, level: str = "default") -> dict[str, Any]:
    """Find the traps of a release of ONNX Runtime in a file.

    Args:
        path: an .onnx file of any opset; external data are not read.
        runtime: such as ``onnxruntime==1.31.1``; ``None`` stands for the release that is installed.
        level: of optimization, ``default`` or ``basic``.

    Returns:
        The document that ``qtool lint --json`` prints.

    Raises:
        ModelError: the file is no model.
        UsageError: an unknown release or level.
    """
    chosen = parse_runtime(version("onnxruntime") if runtime is None else runtime, level)
    proto, sha256 = read_proto(path)
    findings = lint(proto, chosen)
    return {
        "schema_version": 1,
        "model": {"path": str(path), "sha256": sha256},
        "runtime": str(chosen),
        "level": level,
        **{f"{kind}s": sum(it.rule.severity is kind for it in findings) for kind in Severity},
        "findings": [_entry(finding) for finding in findings],
    }


def lines_of(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a document as text: every rule once, with its places."""
    for _, group in groupby(document["findings"], key=lambda it: it["code"]):
        found = list(group)
        first = found[0]
        yield f"{first['code']} {first['severity']}: {first['title']}"
        yield f"  {first['explanation']}"
        yield f"  fix: {first['fix']}"
        for it in found[:SHOWN]:
            yield f"  - {': '.join(part for part in (it['node'], it['tensor'], it['message']) if part)}"
        if len(found) > SHOWN:
            yield f"  - and {len(found) - SHOWN} more (--json lists all)"
    counts = ", ".join(f"{kind}s: {document[f'{kind}s']}" for kind in Severity)
    yield f"{document['runtime']}, level {document['level']}: {counts}"


def _entry(finding: Finding) -> dict[str, str]:
    rule, place = finding.rule, finding.place
    return {
        "code": rule.code,
        "severity": str(rule.severity),
        "node": place.node,
        "tensor": place.tensor,
        "message": place.message,
        "title": rule.title,
        "explanation": rule.explanation,
        "fix": rule.fix,
    }
