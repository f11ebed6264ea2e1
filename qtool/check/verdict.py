"""What a check found: findings in cases, cases in verdicts, a verdict per model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qtool.check.config import ModelConfig
    from qtool.check.facts import Facts

ERROR, WARNING, NOTE = "error", "warning", "note"
TOLERANCE = 5
"""Exit code when a result is outside its tolerances."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a reader should know.

    Attributes:
        rule: name of the check, or the code of a rule of ``qtool lint``.
        level: ``error`` fails the check; ``warning`` and ``note`` do not.
        message: what was expected, what was found, what to do.
        layer: the layer that it is about; empty for the whole model.
    """

    rule: str
    level: str
    message: str
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was checked, its values as people read them.

    Attributes:
        name: such as ``accuracy``.
        before: of the baseline.
        found: now.
        allowed: the limit.
        findings: none when all is well.
    """

    name: str
    before: str
    found: str
    allowed: str
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing of it fails the check."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that fail the check."""
        return tuple(finding for finding in self.findings if finding.level == ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All that was checked of one model.

    Attributes:
        model: what the file says about it.
        cases: in the order of reports.
        facts: its figures; ``None`` where it could not be compiled.
        known: those of the baseline, if any.
        changed: what is not as it was when the baseline was written, such as ``model`` or ``options``.
        cached: whether the result was there already.
        seconds: wall-clock time.
        folder: where the compiled model is; ``None`` where there is none.
        error: why it could not be compiled; empty otherwise.
        code: exit code of that error, or 0.
    """

    model: ModelConfig
    cases: tuple[Case, ...] = ()
    facts: Facts | None = None
    known: Facts | None = None
    changed: tuple[str, ...] = ()
    cached: bool = False
    seconds: float = 0.0
    folder: Path | None = None
    error: str = ""
    code: int = 0

    @property
    def ok(self) -> bool:
        """Whether the model was compiled and is within all tolerances."""
        return not self.error and all(case.ok for case in self.cases)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of all cases."""
        return tuple(finding for case in self.cases for finding in case.findings)

    def to_json(self) -> dict[str, Any]:
        """Return a document for programs."""
        return {
            "name": self.model.name,
            "ok": self.ok,
            "error": self.error or None,
            "cached": self.cached,
            "changed": list(self.changed),
            "folder": None if self.folder is None else str(self.folder),
            "cases": [_case(case) for case in self.cases],
        }


@dataclass(frozen=True, slots=True)
class CheckRun:
    """A finished check.

    Attributes:
        config: the file.
        verdicts: one per model, in the order of the file.
    """

    config: Path
    verdicts: tuple[Verdict, ...]

    @property
    def exit_code(self) -> int:
        """That of the first model that could not be compiled, else 5 if a tolerance is broken, else 0."""
        codes = [verdict.code for verdict in self.verdicts if verdict.error]
        if codes:
            return codes[0]
        return 0 if all(verdict.ok for verdict in self.verdicts) else TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """Return the document of check.json."""
        return {
            "schema_version": 1,
            "config": str(self.config),
            "ok": self.exit_code == 0,
            "exit_code": self.exit_code,
            "models": [verdict.to_json() for verdict in self.verdicts],
        }


def _case(case: Case) -> Mapping[str, Any]:
    return {
        "name": case.name,
        "ok": case.ok,
        "baseline": case.before,
        "found": case.found,
        "allowed": case.allowed,
        "findings": [
            {"rule": it.rule, "level": it.level, "layer": it.layer, "message": it.message}
            for it in case.findings
        ],
    }
