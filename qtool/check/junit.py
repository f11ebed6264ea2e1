"""JUnit XML: a suite per model, a test case per check; what CI systems show as tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from qtool.check.verdict import Case, CheckRun, Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot express, not even escaped; names in a model may have them."""
COMPILE = "compile"


def junit_xml(run: CheckRun) -> str:
    """Return the document; broken tolerances are failures, models that do not compile are errors."""
    root = ET.Element("testsuites", name="qtool check")
    for verdict in run.verdicts:
        _suite(root, verdict)
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    root.set("time", _seconds(sum(verdict.seconds for verdict in run.verdicts)))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, verdict: Verdict) -> None:
    failed = sum(not case.ok for case in verdict.cases)
    suite = ET.SubElement(
        root,
        "testsuite",
        name=verdict.model.name,
        tests=str(len(verdict.cases) + 1),
        failures=str(failed),
        errors=str(int(bool(verdict.error))),
        skipped="0",
        time=_seconds(verdict.seconds),
    )
    case = _test(suite, verdict, COMPILE, verdict.seconds)
    if verdict.error:
        ET.SubElement(case, "error", message=_clean(verdict.error), type=f"exit code {verdict.code}")
    for checked in verdict.cases:
        _case(suite, verdict, checked)


def _case(suite: ET.Element, verdict: Verdict, checked: Case) -> None:
    case = _test(suite, verdict, checked.name, 0.0)
    if not checked.ok:
        lines = [f"{it.layer}: {it.message}" if it.layer else it.message for it in checked.errors]
        failure = ET.SubElement(case, "failure", message=_clean(lines[0]), type=checked.name)
        failure.text = _clean("\n".join(lines))
    said = ET.SubElement(case, "system-out")
    said.text = _clean(f"baseline {checked.before}, found {checked.found}, allowed {checked.allowed}")


def _test(suite: ET.Element, verdict: Verdict, name: str, seconds: float) -> ET.Element:
    where = f"qtool.{verdict.model.name}"
    return ET.SubElement(suite, "testcase", classname=where, name=name, time=_seconds(seconds))


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
