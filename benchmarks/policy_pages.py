"""The page and the figures of benchmarks/policies.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

if TYPE_CHECKING:
    from pathlib import Path

    Document = dict[str, Any]

PAGE = """# Policies differ by hardware

{model}, allocated for every machine at {share:g} of its own cost at 8 bits (precisions of 2 to
8 bits, exact solver, one table of sensitivities), then priced on every other. Written by
`python benchmarks/policies.py`; the numbers are in `benchmarks/results/policies.json`.

![cost of each policy on each machine](policies.svg)

| policy for | budget on | cost / w8a8 | budget | expected loss | over budget elsewhere, at worst |
|---|---|---|---|---|---|
{rows}

A row of the figure is one policy; its own machine is on the diagonal. A policy that suits one machine can
miss the budget of another by far: machines disagree on which side of a product, and which kind of layer, is
worth a bit.

![bits along the network](policies_bits.svg)
"""


def write_pages(document: Document, folder: Path) -> None:
    """Write policies.md, the cross table and the bits of every policy."""
    cross_table(document).save(str(folder / "policies.svg"))
    bits_along_the_network(document).save(str(folder / "policies_bits.svg"))
    (folder / "policies.md").write_text(page(document), encoding="utf-8")


def cross_table(document: Document) -> alt.LayerChart:
    """Return a heat map: policy of the row's machine, priced on the column's."""
    cells = [
        {"policy for": name, "priced on": other, "cost": cost}
        for name, row in document["relative_cost"].items()
        for other, cost in row.items()
    ]
    order = list(document["relative_cost"])
    base = alt.Chart(alt.Data(values=cells)).encode(
        x=alt.X("priced on:N", sort=order, axis=alt.Axis(orient="top", labelAngle=-45, title="priced on")),
        y=alt.Y("policy for:N", sort=order, title="policy for"),
    )
    scale = alt.Scale(scheme="redyellowgreen", reverse=True, domain=[0.3, 1.0], clamp=True)
    heat = base.mark_rect().encode(color=alt.Color("cost:Q", scale=scale, title="cost / w8a8"))
    dark = (alt.datum.cost > 0.85) | (alt.datum.cost < 0.4)
    text = base.mark_text(fontSize=9).encode(
        text=alt.Text("cost:Q", format=".2f"),
        color=alt.condition(dark, alt.value("white"), alt.value("black")),
    )
    return (heat + text).properties(width=32 * len(order), height=24 * len(order))


def bits_along_the_network(document: Document) -> alt.FacetChart:
    """Return bits against the layer's number, a small figure per machine."""
    points = [
        {"machine": name, "layer": number, "side": side, "bits": bits}
        for name, policy in document["policies"].items()
        for number, pair in enumerate(policy.values())
        for side, bits in zip(("weights", "activations"), pair[1:].split("a"), strict=True)
    ]
    lines = alt.Chart(alt.Data(values=points)).mark_line(interpolate="step-after", strokeWidth=1.5)
    encoded = lines.encode(
        x=alt.X("layer:Q", title="layer"),
        y=alt.Y("bits:Q", scale=alt.Scale(domain=[0, 8]), title="bits"),
        color=alt.Color(
            "side:N", sort=["weights", "activations"], scale=alt.Scale(scheme="dark2"), title=None
        ),
    )
    return encoded.properties(width=230, height=90).facet(
        alt.Facet("machine:N", title=None, sort=list(document["policies"])), columns=3
    )


def page(document: Document) -> str:
    """Return policies.md."""
    table, feasible = document["relative_cost"], document["feasible"]
    rows = []
    for name in table:
        # Cost on each machine whose budget can be met, over that of the policy made for it.
        excess = {other: table[name][other] / table[other][other] for other in table if feasible[other]}
        worst = max(excess, key=lambda other: excess[other])
        budget = "met" if feasible[name] else "out of reach, cheapest plan"
        rows.append(
            f"| {name} | {document['metric'][name]} | {table[name][name]:.3f} | {budget} | "
            f"{document['loss'][name]:.4g} | {excess[worst]:.2f}x on {worst} |"
        )
    return PAGE.format(model=document["model"], share=document["share"], rows="\n".join(rows))
