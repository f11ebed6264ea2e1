"""Whatever was done to a report.json: it is refused by name, or told as a page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passes.errors import ReportError
from qtool.report import Report
from qtool.report.page.compiled import report_html
from qtool.report.read import from_json

Place = tuple[str | int, ...]
NUMBERS = st.sampled_from([0, -1, 1e299, -1e-300, 10**15, 10**400])
OTHERS = st.sampled_from([None, "", "latency_s", [], {}, True, "\x00", "\ud800"])
EXAMPLES = 12


@pytest.fixture(scope="module")
def compiled_report() -> str:
    """The text of a report.json, of two layers and a front of two plans."""
    layer = {"op": "Conv", "weight_bits": 4, "act_bits": 8, "loss": 0.5, "latency_s": 1e-3, "macs": 1e6}
    roof = {"compute_s": 1e-3, "memory_s": 5e-4, "traffic_bytes": 2e3, "latency_8bit_s": 2e-3}
    point = {"loss": 0.5, "bound": 0.5, "cost": 1e-3, "weight_bits": [4, 4], "act_bits": [8, 8]}
    spread = {"layer": "a", "tensor": "w", "role": "weight", "bits": 4, "start": -1.0, "width": 0.5}
    ends = {"low": -1.0, "high": 1.0, "narrow_low": -0.5, "narrow_high": 0.5}
    step = {"name": "a", "op": "conv", "max_lsb": 1.0, "lsb_0": 0.5, "lsb_1": 0.5, "lsb_2": 0.0}
    report = {
        "qtool": "0.1.0",
        "model": {"path": "net.onnx", "sha256": "ab"},
        "target": "bitfusion",
        "solver": "ilp",
        "seed": 0,
        "metric": {"name": "top1", "samples": 9, "float": 0.9, "quantized": 0.8, "packed": 0.8},
        "cost": {"latency_s": 2e-3},
        "cost_8bit": {"latency_s": 4e-3},
        "budgets": [{"metric": "latency_s", "limit": 2e-3, "used": 2e-3, "met": True}],
        "layers": [layer | roof | {"name": name} for name in "ab"],
        "coverage": {"macs": 1.0, "weight_bytes": 1.0},
        "agreement": {"qdq_vs_packed_max_lsb": 1.0},
        "time_s": {"total": 1.0},
        "peak_rss_bytes": 9,
        "front": {
            "metric": "latency_s",
            "layers": ["a", "b"],
            "points": [point | {"name": kind, "kind": kind} for kind in ("plan", "optimal")],
        },
        "steps": [step | {"lsb_3_or_more": 0.0, "elements": 4}],
        "distributions": [spread | ends | {"counts": [1, 2]}],
        "sensitivity_quality": {"name": "scaled", "plans": 2, "samples": 4, "spearman": 1.0, "low": 0.0}
        | {"high": 1.0, "kendall": 1.0, "predicted": [0.1, 0.2], "measured": [1.0, 2.0]},
    }
    return json.dumps(report)


def places(value: Any, above: Place = ()) -> list[Place]:
    """Every place of a document, by the keys that lead there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in inner for place in ((*above, key), *places(item, (*above, key)))]


@given(st.data())
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_report_is_refused_or_told(
    compiled_report: str, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    monkeypatch.setattr("qtool.report.page.vega.vega_script", lambda: "")
    damaged = json.loads(compiled_report)
    place = data.draw(st.sampled_from(places(damaged)))
    holder = damaged
    for key in place[:-1]:
        holder = holder[key]
    kind = NUMBERS if isinstance(holder[place[-1]], int | float) else OTHERS
    holder[place[-1]] = data.draw(kind)
    outcome = told(damaged)
    assert outcome.startswith("report.json: ") or outcome.endswith("</html>\n")


def told(document: Any) -> str:
    """The page of a document, or why it is refused."""
    try:
        return report_html(from_json(Report, document, "report.json"), None)
    except ReportError as error:
        return str(error)


def test_the_undamaged_report_has_every_chart(compiled_report: str) -> None:
    report = from_json(Report, json.loads(compiled_report), "report.json")
    assert report_html(report, None).count("<figure>") == 7
