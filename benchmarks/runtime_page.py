"""Writes docs/runtime.md and its figures from the results of benchmarks/runtime.py and benchmarks/kernels.py.

    python benchmarks/runtime_page.py

Needs the extra `docs`. The figures of the page are those of the two result files, never typed in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import altair as alt

ROOT = Path(__file__).resolve().parent.parent
RESULTS, DOCS = ROOT / "benchmarks" / "results", ROOT / "docs"
Document = dict[str, Any]

PAGE = """# How fast the integer runtime is

Two engines run an artifact. The reference, in NumPy, defines what is right; the native engine, in C++, has
its bits at any number of threads and with every instruction set. Weights stay packed at 1 to 8 bits in the
mapped file and are unpacked tile by tile; activations share one planned arena. The tables are measured by
`python benchmarks/runtime.py --data DIR` and `python benchmarks/kernels.py`, the page is written from
`benchmarks/results` by `python benchmarks/runtime_page.py`.

## Whole networks

{networks_where}

{networks}

A ratio above 1 means that the native engine is faster: than ONNX Runtime on the Q/DQ model, than ONNX Runtime
in float32, than OpenVINO on the same Q/DQ model. Every ratio is a median over rounds in which the candidates
take turns in one process.

![whole networks](runtime_networks.svg)

## Single kernels

{kernels_where}

Without VNNI, ONNX Runtime's products of uint8 and int8 saturate sums of two products, and so are fast but
not exact; its products of uint8 and uint8 are exact, as qtool's are at any width.

![kernels](runtime_kernels.svg)

{kernels}
"""


def networks_table(document: Document) -> str:
    """Return one row per network and mix of bits."""
    lines = [
        "| network | bits (weights/activations) | ms | x Q/DQ | x float | x OpenVINO | x 8/8 | "
        "load to first output, ms | weights, kB | activations, kB |",
        "|---" * 10 + "|",
    ]
    for name, figures in document["networks"].items():
        for mix, it in figures["by_mix"].items():
            peer = it["ratio_to_openvino"].get("8/8")
            cells = [
                name,
                mix,
                f"{1e3 * figures['seconds'][f'native {mix}']:.2f}",
                f"{it['ratio_to_qdq']:.2f}",
                f"{it['ratio_to_float']:.2f}",
                "-" if peer is None else f"{peer:.2f}",
                f"{it['ratio_to_native_8/8']:.2f}",
                f"{1e3 * it['load_to_first_output_s']:.0f}",
                f"{it['weight_bytes'] / 1e3:.0f}",
                f"{it['activation_peak_bytes'] / 1e3:.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def kernels_table(document: Document) -> str:
    """Return one row per case and baseline, a column per width."""
    rows: dict[tuple[str, str], dict[int, float]] = {}
    for row in document["rows"]:
        rows.setdefault((row["case"], row["baseline"]), {})[row["weight_bits"]] = row["ratio"]
    lines = ["| case | over | 2 bits | 4 bits | 8 bits |", "|---|---|---|---|---|"]
    for (case, baseline), ratios in rows.items():
        cells = [f"{ratios[bits]:.2f}" if bits in ratios else "-" for bits in (2, 4, 8)]
        lines.append(f"| {case} | {baseline} | {' | '.join(cells)} |")
    return "\n".join(lines)


def networks_figure(document: Document) -> alt.Chart:
    """Return milliseconds by network and engine."""
    bars = [
        {"network": name, "engine": engine, "ms": 1e3 * seconds}
        for name, figures in document["networks"].items()
        for engine, seconds in figures["seconds"].items()
    ]
    return (
        alt.Chart(alt.Data(values=bars))
        .mark_bar()
        .encode(
            x=alt.X("ms:Q", title="milliseconds per sample, fastest round"),
            y=alt.Y("engine:N", title=None, sort=None),
            color=alt.Color("engine:N", scale=alt.Scale(scheme="tableau10"), legend=None),
        )
        .properties(width=420)
        .facet(row=alt.Row("network:N", title=None, header=alt.Header(labelAngle=0, labelAlign="left")))
        .resolve_scale(x="independent")
    )


def kernels_figure(document: Document) -> alt.LayerChart:
    """Return how much faster each kernel is than its baselines."""
    points = [
        {"case": row["case"], "over": row["baseline"], "bits": str(row["weight_bits"]), "ratio": row["ratio"]}
        for row in document["rows"]
    ]
    base = alt.Chart(alt.Data(values=points))
    dots = base.mark_point(size=70, filled=True).encode(
        x=alt.X("ratio:Q", title="times as fast as the baseline", scale=alt.Scale(type="log")),
        y=alt.Y("case:N", title=None, sort=None),
        color=alt.Color("bits:N", title="bits of weights", scale=alt.Scale(scheme="dark2")),
        shape=alt.Shape("over:N", title="baseline", sort=None, legend=alt.Legend(labelLimit=320)),
    )
    even = alt.Chart(alt.Data(values=[{"ratio": 1}])).mark_rule(strokeDash=[4, 4]).encode(x="ratio:Q")
    return (even + dots).properties(width=420, height=260)


def where(document: Document, isa: str, threads: int) -> str:
    """Say on what the figures were measured."""
    found = document["environment"]
    date, processor = found["date"][:10], found["machine"]
    versions = found["versions"] | document.get("peers", {})
    names = ", ".join(
        f"{name} {versions[name]}" for name in ("onnxruntime", "openvino", "torch") if name in versions
    )
    return f"Measured on {date}: {processor} with {isa}, {found['cpus']} cores, {threads} thread(s); {names}."


def main() -> None:
    """Write the page and both figures."""
    runtime = json.loads((RESULTS / "runtime.json").read_text(encoding="utf-8"))
    kernels = json.loads((RESULTS / "kernels.json").read_text(encoding="utf-8"))
    networks_figure(runtime).save(str(DOCS / "runtime_networks.svg"))
    kernels_figure(kernels).save(str(DOCS / "runtime_kernels.svg"))
    found = runtime["environment"]
    text = PAGE.format(
        networks_where=where(runtime, found["native"], found["threads"]),
        networks=networks_table(runtime),
        kernels_where=where(kernels, kernels["isa"], kernels["threads"]),
        kernels=kernels_table(kernels),
    )
    (DOCS / "runtime.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
