"""Numbers for people."""

from __future__ import annotations

import pytest

from qtool.report import format as fmt


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("latency_s", 0.00125, "1.25 ms"),
        ("latency_s", 2.0, "2 s"),
        ("latency_s", 0.0, "0 ps"),
        ("energy_j", 3.2e-6, "3.2 uJ"),
        ("weight_bytes", 1_500_000, "1.5 MB"),
        ("weight_bytes", 12, "12 B"),
        ("bops", 2.5e12, "2.5 T"),
        ("bops", 7, "7"),
        ("latency_s", None, "-"),
        ("latency_s", float("nan"), "-"),
    ],
)
def test_costs(metric: str, value: float | None, text: str) -> None:
    assert fmt.cost(metric, value) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("top1", 0.989, "98.90 %"),
        ("sqnr", 31.24, "31.2 dB"),
        ("cosine", 0.99987, "0.99987"),
        ("top1", None, "-"),
    ],
)
def test_task_metrics(metric: str, value: float | None, text: str) -> None:
    assert fmt.task(metric, value) == text


def test_shares_ratios_and_plain_values() -> None:
    assert fmt.share(0.9876) == "98.8 %"
    assert fmt.ratio(1.0, 2.0) == "0.50x"
    assert fmt.ratio(1.0, 0.0) == fmt.ratio(None, 1.0) == "-"
    assert [fmt.plain(value) for value in (None, True, False, 3, 0.123456789, "x")] == [
        "-", "yes", "no", "3", "0.12346", "x",
    ]  # fmt: skip
