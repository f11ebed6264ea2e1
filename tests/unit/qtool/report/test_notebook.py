"""What notebooks show: every table of the interface is HTML that closes what it opens."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from hwmodels import Cost, Metric, Precision
from passes.allocation.allocation import Allocation
from passes.analysis.cost import CostTable
from passes.analysis.sensitivity import SensitivityTable
from passes.search.driver import SearchResult
from passes.search.point import Evaluation, Point
from qtool.report import Report

POINT = Point((0,), Evaluation(0.9, 40), 0.1, {"latency_s": 2e-3}, 0.3, 0.0)
TABLES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (SensitivityTable("kl", {"conv": {4: 0.5}}, {"conv": {8: 0.25}}), ("w4", "a8", "0.25")),
    (
        CostTable("m", frozenset({Metric.BOPS}), {"conv": {Precision(4, 8): Cost(bops=7.0)}}),
        ("w4a8", "bops", "7"),
    ),
    (Allocation("optimal", "loss", 0.5, {"bops": 3.0}, 0.5, (0,)), ("optimal", "bound of loss", "bops")),
    (SearchResult((POINT, POINT), (POINT,), 0.5, "solver", 1.0), ("Front of 2 plans", "0.002", "0.3")),
    (SearchResult((), (), 0.0, "solver", 1.0), ("Front of 0 plans",)),
)


class Balance(HTMLParser):
    """Fails on an element that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def balanced(text: str) -> bool:
    """Whether every element is closed."""
    parser = Balance()
    parser.feed(text)
    return not parser.open


@pytest.mark.parametrize(("table", "words"), TABLES)
def test_tables_show_their_values(table: Any, words: tuple[str, ...]) -> None:
    text = table._repr_html_()
    assert balanced(text)
    assert [word for word in words if word not in text] == []


def test_a_report_shows_its_headline_and_its_layers(full_report: Report) -> None:
    text = full_report._repr_html_()
    assert balanced(text)
    assert text.count("<table>") == 2
    assert "0.50x" in text
    assert "<img" not in text
