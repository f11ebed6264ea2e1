"""front.svg: measured plans and their front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from passes.search.point import Point
    from qtool.exploration.run import SearchRun


def write_plot(run: SearchRun, path: Path) -> str:
    """Write a picture of the loss over the first cost.

    Returns:
        Why there is no picture; empty when there is one.
    """
    import altair as alt

    name = run.task.objectives[1]
    whole = [point for point in run.result.points if point.whole and not point.evaluation.failure]
    if not whole:
        return "there is nothing to plot: no plan was measured on all samples"
    rows = _rows(whole, name, "plan") + _rows(run.result.front, name, "front")
    chart = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("cost:Q", title=name, scale=alt.Scale(zero=False)),
        y=alt.Y("loss:Q", title=f"loss of {run.metric}"),
    )
    on_front = chart.transform_filter("datum.kind == 'front'")
    dots = chart.mark_circle(color="#b0b0b0", size=20)
    line = on_front.mark_line(interpolate="step-after", color="#1f5fa8")
    (dots + line + on_front.mark_circle(color="#1f5fa8", size=40)).properties(width=520, height=340).save(
        str(path), format="svg"
    )
    return ""


def _rows(points: Sequence[Point], name: str, kind: str) -> list[Mapping[str, Any]]:
    return [{"cost": point.get(name), "loss": point.loss, "kind": kind} for point in points]
