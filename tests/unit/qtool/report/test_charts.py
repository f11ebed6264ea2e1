"""The charts: valid by Altair's own schema, made of the report's numbers, none where there is nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import altair as alt
import pytest

from passes.allocation import AllocationProblem, Choice, LayerChoices
from qtool.report import Report
from qtool.report.charts.agreement import agreement_figure
from qtool.report.charts.energy import energy_figure
from qtool.report.charts.figure import Figure
from qtool.report.charts.heat import heat_figure, losses_of
from qtool.report.charts.layers import layers_figure
from qtool.report.charts.plans import estimated_figure
from qtool.report.charts.ranking import ranking_figure
from qtool.report.charts.spent import BETWEEN, roofline_figure, spent_figure
from qtool.report.charts.spread import spread_figure


def layer() -> LayerChoices:
    """A layer at 2 and 4 bits of weights and 4 and 8 of activations."""
    losses = {(2, 4): 0.9, (2, 8): 0.7, (4, 4): 0.3, (4, 8): 0.1}
    return LayerChoices("conv", tuple(Choice(*pair, loss, {}) for pair, loss in losses.items()))


def problem() -> AllocationProblem:
    """One such layer."""
    return AllocationProblem("one", (layer(),))


def figures(report: Report) -> dict[str, Figure | None]:
    """Every chart of a compilation, by the name of its function."""
    costs = (spent_figure, energy_figure, roofline_figure)
    made = (layers_figure, estimated_figure, *costs, spread_figure, agreement_figure)
    every = {function.__name__: function(report) for function in made}
    every["heat_figure"] = heat_figure(problem(), {"conv": (4, 8)})
    every["ranking_figure"] = ranking_figure("quality", [(0.1, 1.0), (0.2, 3.0)], "noise")
    return every


def rows(figure: Figure | None) -> list[dict[str, Any]]:
    """The rows that a chart shows."""
    assert figure is not None
    return [row for values in figure.spec["datasets"].values() for row in values]


def test_every_chart_is_valid(full_report: Report) -> None:
    for name, figure in figures(full_report).items():
        assert figure is not None, name
        alt.Chart.from_dict(figure.spec).to_dict(validate=True)


def test_charts_do_not_depend_on_what_was_drawn_before(full_report: Report) -> None:
    assert figures(full_report) == figures(full_report)


def test_rows_of_tables_are_as_wide_as_their_heads(full_report: Report) -> None:
    for figure in figures(full_report).values():
        assert figure is not None
        assert {len(row) for row in figure.table.rows} == {len(figure.table.head)}


def test_layers_that_stay_float_have_32_bits(full_report: Report) -> None:
    assert [row["weight_bits"] for row in rows(layers_figure(full_report))] == [4, 32]


def test_the_stack_adds_up_to_the_network(full_report: Report) -> None:
    found = [row for row in rows(spent_figure(full_report)) if row["plan"] == "8 bits"]
    assert sum(row["value"] for row in found) == pytest.approx(full_report.cost_8bit.latency_s)
    assert found[-1]["layer"] == BETWEEN


def test_energy_is_split_into_its_parts(full_report: Report) -> None:
    # 2 uJ, of which 0.5 go into buffers and 1 into memory.
    figure = energy_figure(full_report)
    found = {row["part"]: row["energy"] for row in rows(figure)}
    assert found == pytest.approx({"arithmetic": 0.5e-6, "on chip": 0.5e-6, "off chip": 1e-6})
    assert figure is not None
    assert figure.label.endswith("in all, arithmetic 25.0 %, on chip 25.0 %, off chip 50.0 %.")


def test_the_roofline_is_the_lower_of_its_two_limits(full_report: Report) -> None:
    # 2,000 bytes in 0.5 ms and a million MACs in 0.4 ms: 4e6 bytes and 2.5e9 MACs a second.
    dot, *roof = rows(roofline_figure(full_report))
    if "layer" not in dot:
        roof, dot = [dot, *roof[:-1]], roof[-1]
    assert (dot["intensity"], dot["rate"], dot["bound by"]) == (500.0, 2e9, "memory")
    assert all(entry["rate"] == min(4e6 * entry["intensity"], 2.5e9) for entry in roof)


def test_the_loss_of_a_width_is_that_beside_the_widest_of_the_other_side() -> None:
    assert losses_of(layer(), 0) == {2: 0.7, 4: 0.1}
    assert losses_of(layer(), 1) == {4: 0.3, 8: 0.1}


def test_the_heat_map_frames_what_was_taken() -> None:
    found = [
        (row["bits"], row["loss"]) for row in rows(heat_figure(problem(), {"conv": (4, 8)})) if row["taken"]
    ]
    assert found == [(4, 0.1), (8, 0.1)]


def test_bins_lie_side_by_side(full_report: Report) -> None:
    found = [row for row in rows(spread_figure(full_report)) if "count" in row]
    assert [(row["from"], row["to"], row["count"]) for row in found] == [
        (-1.0, -0.5, 1),
        (-0.5, 0.0, 5),
        (0.0, 0.5, 5),
        (0.5, 1.0, 2),
    ]


def test_there_is_no_chart_of_nothing(full_report: Report) -> None:
    bare = replace(full_report, layers=(), front=None, steps=full_report.steps[:1], distributions=())
    assert layers_figure(bare) is None
    assert estimated_figure(bare) is None
    assert roofline_figure(bare) is None
    assert energy_figure(bare) is None
    assert spread_figure(bare) is None
    assert agreement_figure(bare) is None
    assert ranking_figure("quality", [(1.0, 1.0)], "noise") is None
