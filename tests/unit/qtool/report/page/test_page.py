"""report.html as text: escaped, self-contained, the same every time, and honest about what is missing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

from passes.allocation import AllocationProblem, Choice, LayerChoices
from passes.allocation.decision import Decision
from qtool.report import FrontPoint, FrontReport, Report
from qtool.report.page.compiled import report_html
from qtool.report.page.searched import search_html
from qtool.report.read import from_json
from qtool.report.report import LayerReport
from qtool.report.search import SearchReport

MOST_BYTES = 2_000_000


class Reader(HTMLParser):
    """Counts elements, keeps what they refer to and the text that people see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.headings: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] not in ("script", "style"):
            self.text += data


def read(text: str) -> Reader:
    """Parse a page."""
    reader = Reader()
    reader.feed(text)
    return reader


def decision(layers: int = 2) -> Decision:
    """Layers at 4 or 8 bits, all of them at 8."""
    choices = tuple(Choice(bits, bits, 8.0 - bits, {"latency_s": float(bits)}) for bits in (2, 4, 8))
    names = (f"block_{at}/depthwise_convolution" for at in range(layers))
    problem = AllocationProblem("net", tuple(LayerChoices(name, choices) for name in names))
    return Decision(problem, (), "loss", (2,) * layers, 0.0)


def search_report() -> SearchReport:
    """A search with two points on its front and a plan behind it."""
    layers = [{"name": "conv", "weight_bits": 4, "act_bits": 8}]
    front = [
        {"index": at, "value": 0.9, "loss": 0.1 - at / 20, "cost": {"latency_s": 1.0 + at}, "estimate": 2.0}
        | {"estimate_bound": 1.5, "layers": layers}
        for at in range(2)
    ]
    document = {
        "qtool": "0.1.0",
        "model": {"path": "net.onnx", "sha256": "ab"},
        "target": "bitfusion",
        "solver": "sweep",
        "seed": 0,
        "metric": {"name": "top1", "samples": 40, "float": 0.99},
        "objectives": ["loss", "latency_s"],
        "budgets": [{"metric": "latency_s", "limit": 3.0}],
        "evaluations": 3,
        "failed": 0,
        "stopped": "evaluations",
        "hypervolume": 0.5,
        "knee": 1,
        "front": front,
        "measured": [{"loss": 0.3, "cost": {"latency_s": 2.0}, "estimate": 2.5}] * 3,
        "uniform": [{"name": "w4a4", "loss": None, "cost": {"latency_s": 1.5}, "estimate": 3.0}],
        "versions": {"onnx": "1.23.2"},
    }
    return from_json(SearchReport, document, "front.json")


def test_names_cannot_become_markup(full_report: Report) -> None:
    page = read(report_html(full_report, decision()))
    assert "img" not in page.tags
    assert "b" not in page.tags
    assert '</script><img src=x onerror="alert(1)">' in page.text


def test_the_page_refers_to_nothing_outside_of_it(full_report: Report) -> None:
    text = report_html(full_report, decision())
    page = read(text)
    assert {reference[:5] for reference in page.references if not reference.startswith("#")} == {"data:"}
    assert "default-src 'none'" in text
    assert {f"#{name}" for name in re.findall(r'<h2 id="([a-z-]+)"', text)} <= set(page.references)


def test_the_same_report_gives_the_same_bytes(full_report: Report) -> None:
    assert report_html(full_report, decision()) == report_html(full_report, decision())


def test_what_is_missing_is_said(report: Report) -> None:
    bare = replace(report, metric=None, agreement=None, layers=(), unquantized=(), journal=())
    text = read(report_html(bare, None)).text
    for words in (
        "there was no --eval",
        "No layer is quantized",
        "No allocation was solved",
        "There are no distributions",
        "nothing to judge",
        "every operator runs on integers",
        "The two forms were not compared",
    ):
        assert words in text


def test_every_section_has_its_data(full_report: Report) -> None:
    page = read(report_html(full_report, decision()))
    for words in (
        "0.50x",
        "its bias is computed at run time",
        "99.8 %",
        "canonicalize,lower",
        "rank correlation",
    ):
        assert words in page.text
    assert page.tags.count("figure") == 9


def test_two_hundred_layers_stay_small(full_report: Report) -> None:
    solved = decision(200)
    names = [layer.name for layer in solved.problem.layers]
    layers = tuple(
        LayerReport(
            name,
            "Conv",
            8,
            8,
            0.5,
            1e-3,
            2e-6,
            1e4,
            2e6,
            True,
            "integer",
            None,
            1e-3,
            4e-6,
            1e6,
            1e-4,
            5e-4,
            2e3,
        )
        for name in names
    )
    steps = tuple(replace(full_report.steps[1], name=name) for name in names)
    point = FrontPoint("optimum", "optimal", 0.5, 0.5, 1e-3, (8,) * 200, (8,) * 200)
    points = tuple(replace(point, name=f"optimum {at}", cost=1e-3 * at) for at in range(20))
    big = replace(
        full_report,
        layers=layers,
        steps=steps,
        front=FrontReport("latency_s", tuple(names), points),
        distributions=tuple(replace(full_report.distributions[0], counts=(10**6,) * 64) for _ in range(12)),
    )
    assert len(report_html(big, solved).encode()) < MOST_BYTES


def test_a_search_is_told_with_its_knee_and_its_bound() -> None:
    page = read(search_html(search_report(), decision().problem))
    assert "1, the knee" in page.text
    assert "1 x w4a8" in page.text
    assert page.tags.count("figure") == 4


def test_a_search_without_a_front_is_told_too() -> None:
    empty = replace(search_report(), front=(), knee=None, measured=(), uniform=())
    text = read(search_html(empty, None)).text
    assert "No plan was measured on all samples within the budgets" in text
    assert "problem.json, which has the losses of every choice, is missing" in text


def test_the_data_of_charts_are_json(full_report: Report) -> None:
    text = report_html(full_report, decision())
    found = re.findall(r'<script type="application/json" data-chart="([a-z]+)">(.*?)</script>', text)
    assert {"layers", "front", "sensitivity", "spent", "distributions"} < {name for name, _ in found}
    assert all(json.loads(data)["datasets"] for _, data in found)
