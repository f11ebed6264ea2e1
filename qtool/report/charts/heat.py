"""The heat map of sensitivities: what each layer loses at each width of its weights and its activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtool.report.charts.figure import INK, WIDTH, Chart, Datasets, Figure, Table, finish
from qtool.report.format import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.allocation.choices import LayerChoices
    from passes.allocation.problem import AllocationProblem

DECADES = 1e-5
"""Smallest loss, as a share of the largest, that has a colour of its own."""
ROW = 20
"""Pixels per width."""


def heat_figure(problem: AllocationProblem, taken: Mapping[str, tuple[int, int]]) -> Figure:
    """Return the chart of a problem.

    The loss of a width is that of the choice that has it beside the widest of the other side.

    Args:
        problem: layers with choices.
        taken: ``(weight_bits, act_bits)`` of the plan by layer, which are framed; may be empty.
    """
    import altair as alt

    sides = ("weights", "activations")
    losses = {side: [losses_of(layer, at) for layer in problem.layers] for at, side in enumerate(sides)}
    most = max((loss for rows in losses.values() for row in rows for loss in row.values()), default=0.0)
    # Two colours at least: a scale from a number to itself has none.
    least = max(most, 1e-12) * DECADES
    data = Datasets()
    panels = [
        _panel(data, _cells(problem, losses[side], at, taken), side, (least, max(most, 1e-12)))
        for at, side in enumerate(sides)
    ]
    chart = alt.vconcat(*panels).resolve_scale(x="shared", color="shared")
    label = f"Expected loss of {len(problem.layers)} layers at every width of weights and activations."
    return Figure("sensitivity", label, finish(chart, data), _table(problem, losses))


def losses_of(layer: LayerChoices, side: int) -> dict[int, float]:
    """Return the loss by width of one side (0: weights, 1: activations), the other at its widest."""
    found: dict[int, tuple[int, float]] = {}
    for choice in layer.choices:
        bits, other = choice.pair[side], choice.pair[1 - side]
        if bits not in found or other > found[bits][0]:
            found[bits] = (other, choice.loss)
    return {bits: loss for bits, (_, loss) in sorted(found.items())}


def _cells(
    problem: AllocationProblem,
    losses: list[dict[int, float]],
    side: int,
    taken: Mapping[str, tuple[int, int]],
) -> list[dict[str, Any]]:
    return [
        {
            "at": at,
            "layer": layer.name,
            "bits": bits,
            "loss": loss,
            "taken": layer.name in taken and taken[layer.name][side] == bits,
        }
        for at, (layer, row) in enumerate(zip(problem.layers, losses, strict=True))
        for bits, loss in row.items()
    ]


def _panel(data: Datasets, cells: list[dict[str, Any]], side: str, ends: tuple[float, float]) -> Chart:
    import altair as alt

    rows = len({cell["bits"] for cell in cells})
    last = side == "activations"
    title = "layer, from input to output; framed: what the plan has" if last else None
    x = alt.X("at:O", title=title, axis=alt.Axis(labels=False, ticks=False))
    y = alt.Y("bits:O", title=f"bits of {side}", sort="descending")
    scale = alt.Scale(type="log", domain=list(ends), clamp=True, scheme="viridis")
    legend = alt.Legend(format="~g", gradientLength=200, tickCount=4)
    color = alt.Color("shown:Q", title="expected loss", scale=scale, legend=legend)
    tooltip = [
        alt.Tooltip("layer:N"),
        alt.Tooltip("bits:O", title=f"bits of {side}"),
        alt.Tooltip("loss:Q", title="expected loss", format=".4g"),
    ]
    base = alt.Chart(data.add(cells), width=WIDTH, height=ROW * rows)
    # A logarithm has no place for zero, nor for the little below it that rounding may leave.
    base = base.transform_calculate(shown=f"max(datum.loss, {ends[0]!r})")
    heat = base.mark_rect().encode(x=x, y=y, color=color, tooltip=tooltip)
    frame = base.transform_filter("datum.taken").mark_rect(fillOpacity=0, stroke=INK, strokeWidth=2)
    return alt.layer(heat, frame.encode(x=x, y=y, tooltip=tooltip))


def _table(problem: AllocationProblem, losses: Mapping[str, list[dict[int, float]]]) -> Table:
    columns = [
        (side, bits)
        for side, rows in losses.items()
        for bits in sorted({bits for row in rows for bits in row})
    ]
    head = ("layer", *(f"{side}, {bits} bits" for side, bits in columns))
    rows = tuple(
        (layer.name, *(plain(losses[side][at].get(bits)) for side, bits in columns))
        for at, layer in enumerate(problem.layers)
    )
    return Table(head, rows)
