"""report.json: its keys are a contract, and it holds nothing that JSON does not have."""

from __future__ import annotations

import json
from dataclasses import replace

from qtool.report.json import report_json
from qtool.report.report import CostReport, MetricReport, Report

KEYS = {
    "": "schema_version qtool model target solver seed metric cost cost_8bit budgets layers coverage"
    " agreement time_s peak_rss_bytes",
    "model": "path sha256",
    "metric": "name samples float quantized packed",
    "cost": "latency_s energy_j weight_bytes bops",
    "cost_8bit": "latency_s energy_j weight_bytes bops",
    "coverage": "macs weight_bytes",
    "agreement": "qdq_vs_packed_max_lsb top1_agreement",
    "time_s": "total calibrate analyze allocate lower compare",
}
LAYER_KEYS = "name op weight_bits act_bits loss latency_s energy_j weight_bytes quantized reason"


def test_the_promised_keys_are_there(report: Report) -> None:
    document = report.to_json()
    for place, keys in KEYS.items():
        assert set(keys.split()) <= set(document[place] if place else document), place
    assert set(LAYER_KEYS.split()) <= set(document["layers"][0])
    assert set(document["budgets"][0]) == {"metric", "limit", "used", "met"}
    assert document["schema_version"] == 1


def test_what_is_not_known_is_null(report: Report) -> None:
    document = json.loads(report_json(report))
    assert document["cost"]["energy_j"] is None
    assert document["layers"][1]["weight_bits"] is None
    assert document["time_s"]["lower"] is None


def test_numbers_that_json_does_not_have_are_null(report: Report) -> None:
    strange = replace(
        report, metric=MetricReport("sqnr", 1, None, float("inf"), float("nan")), cost=CostReport(bops=-0.0)
    )
    document = json.loads(report_json(strange), parse_constant=lambda name: 1 / 0 if name else None)
    assert document["metric"] == {
        "name": "sqnr",
        "samples": 1,
        "float": None,
        "quantized": None,
        "packed": None,
    }
    assert document["cost"]["bops"] == 0


def test_the_text_ends_with_a_line_and_is_the_same_twice(report: Report) -> None:
    assert report_json(report).endswith("}\n")
    assert report_json(report) == report_json(report)
