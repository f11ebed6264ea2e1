"""Writes docs/accuracy.md and its figure from benchmarks/results/accuracy.json.

    python benchmarks/accuracy_page.py

Needs the extra `docs`. The tables and the figure come from the result files.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
from accuracy import CASES, SETTINGS, TAIL

ROOT = Path(__file__).resolve().parent.parent
PEER_SETTINGS = ("w8a8", "w4a8")
Entry = dict[str, Any]
Cells = dict[tuple[str, str, str], list[Entry]]
"""Entries by pipeline, model and setting; one per seed."""

PAGE = """# What low precision costs in accuracy

Uniform precisions, first and last layer included, weights per output channel, activations per tensor; `mixed`
is the allocation under half the weights of 8 bits, so four bits on average, with activations at 8. Ranges and
rounding come from the calibration sets alone. Measured by `python benchmarks/accuracy.py`, written from
`benchmarks/results/accuracy.json` by `python benchmarks/accuracy_page.py`.

Drops are in points of top-1 below float, on the same samples, with the half-width of a paired 95 % interval;
where several seeds were measured, the mean of them: three of the GRU and of DS-CNN, two of ViT and of the
language model (whose mixed plan has one), one of the others. The language model has perplexity over that of
float.

{tables}

![drop against bits of weights](accuracy.svg)

Time is processor time of the whole pipeline in units of one float pass over the calibration set, both in one
run.

## What layers of eight bits do behind narrower ones

They keep the nearest integers in a plan of eight bits alone. Behind narrower weights or activations `gptq`
rounds them as well: their fine steps make up for errors of the coarse ones.

## Why mixed plans win

`mixed` has as many bits as W4A8. Where layers differ in what they lose, as in MobileNetV2, moving bits
between layers wins back most of what uniform four bits lose, given losses that can be believed: they are
measured with weights as data round them (docs/sensitivities.md). With losses of the nearest integers the
same allocation was worse than uniform bits on SqueezeNet and DS-CNN. MobileNetV2 under half the latency of
eight bits on `bitfusion`, which narrows activations too, is in the README (`python
benchmarks/main_job.py`).

## What layers lose together

Least squares on noisy inputs shrink a layer's results, and so do clipped activations. In a chain without
normalizations every layer starts from what the ones before it have left: at W4A4 the results of MobileNetV2's
last layers had three quarters of their deviation. `gptq` gives most of it back (`deviation=0.7`). Divergence
from the float network, in nats, on calibration samples held out and mirror images of pictures (a script that
is not in the repository):

| `deviation` | 0 | 0.7 | 1 | 1.3 |
|---|---|---|---|---|
| MobileNetV2 W4A4 | 1.70 | 0.85 | 0.92 | 1.01 |
| MobileNetV2 W4A8 | 0.181 | 0.161 | 0.149 | |
| SqueezeNet W4A4 | 0.453 | 0.371 | 0.387 | |
| ResNet-20 W4A4 | 0.270 | 0.280 | 0.267 | |
| ViT W4A4 | 0.025 | 0.017 | 0.033 | |
| MiniLM W4A4 | 0.112 | 0.126 | 0.123 | |
| language model W4A4 | 1.88 | 1.92 | | |

Where normalizations follow, there is nothing to give back, and differences are within their errors.

## What calibration has not seen

`smooth` once followed channels past a Clip with an upper bound, such as ReLU6, where the same bound cut off
nothing that calibration had seen. Other images have larger values: the float network itself, so smoothed by
16 images, named other classes for 17 % of images held out of calibration. Divergence from the float network
there, in nats, and the share of images with its class (a script that is not in the repository):

| MobileNetV2 | calibrated on | followed past ReLU6 | now, ended there |
|---|---|---|---|
| W8A8, nearest integers | 16 images | 0.385, 80.7 % | 0.033, 92.8 % |
| W8A8, nearest integers | 166 images | 0.140, 92.8 % | 0.018, 90.4 % |
| W6A6 | 166 images | 0.214, 85.5 % | 0.096, 84.3 % |
| W4A4 | 166 images | 0.800, 57.8 % | 0.919, 50.6 % |

## What falls short

- **DS-CNN below eight bits of activations** loses through its input, one scale for ten coefficients of very
  different ranges: 16 codes change the class of 56 % of the samples.
- **MobileNetV2 at uniform four or three bits.** Tried on images held out of calibration, without gain: more
  damping, four times the vectors, shrinkage by the variance of the moments, other aims than half-way to the
  float network, errors of skip connections in the aim, moments of only what ReLU6 lets through. Most of what
  is lost at W4A4 is lost to activations: behind the first depthwise layers a tenth of what results deviate is
  noise, behind the last a third.
- **The language model**, 260,000 parameters with rows of 64, has little redundancy: weights of four bits cost
  0.11 nats of divergence layer by layer, added up (a script that is not in the repository), and the whole
  network loses as much. At six bits of activations, queries before their product with keys lose most.
- **Learning** ([reconstruction.md](reconstruction.md)) helps the language model and DS-CNN, and no network of
  pictures.

## Beside it: ONNX Runtime's own quantizer

`quantize_static` after its preprocessing, weights per channel, ranges by minimum and maximum, on the same
samples; `python benchmarks/accuracy_peers.py`. What it refuses is in the result file with its message.

| model | {peer_heads} |
|---|{peer_rules}
{peers}
"""

TABLE = """## `{tail}`

| model | float | {heads} | float passes, at {slow} |
|---|---|{rules}---|
{rows}
"""


def main() -> None:
    """Write the page and the figure."""
    entries = json.loads((ROOT / "benchmarks" / "results" / "accuracy.json").read_text())["entries"]
    cells: Cells = defaultdict(list)
    for entry in entries:
        cells[entry["tail"], entry["model"], entry["setting"]].append(entry)
    tails = sorted({entry["tail"] for entry in entries}, key=lambda tail: (tail != TAIL, tail))
    text = PAGE.format(
        tables="\n".join(table(cells, tail) for tail in tails),
        peers=peers(),
        peer_heads=" | ".join(PEER_SETTINGS),
        peer_rules="---|" * len(PEER_SETTINGS),
    )
    (ROOT / "docs" / "accuracy.md").write_text(text, encoding="utf-8")
    figure(cells, tails).save(str(ROOT / "docs" / "accuracy.svg"))


def table(cells: Cells, tail: str) -> str:
    """Return what one pipeline gave."""
    settings = [name for name in SETTINGS if any(key[0] == tail and key[2] == name for key in cells)]
    slow = "w4a8" if "w4a8" in settings else settings[-1]
    rows = []
    for model in CASES:
        found = [cells.get((tail, model, setting), []) for setting in settings]
        if any(found):
            first = next(entries for entries in found if entries)[0]
            passes = [entry["float_passes"] for entry in cells.get((tail, model, slow), [])]
            spent = f"{np.mean(passes):.0f}" if passes else "-"
            row = [model, f"{first['float']:.2f}", *map(cell, found), spent]
            rows.append(f"| {' | '.join(row)} |")
    heads, rules = " | ".join(settings), "---|" * len(settings)
    return TABLE.format(tail=tail, heads=heads, rules=rules, slow=slow, rows="\n".join(rows))


def peers() -> str:
    """Return the rows of ONNX Runtime's quantizer."""
    results = ROOT / "benchmarks" / "results" / "accuracy_peers.json"
    entries = json.loads(results.read_text(encoding="utf-8"))["entries"]
    found = {(entry["model"], entry["setting"]): entry for entry in entries}
    rows = []
    for model in CASES:
        if any((model, setting) in found for setting in PEER_SETTINGS):
            shown = [found.get((model, setting)) for setting in PEER_SETTINGS]
            rows.append(f"| {' | '.join([model, *map(peer_cell, shown)])} |")
    return "\n".join(rows)


def peer_cell(entry: Entry | None) -> str:
    """Return the figure of one model at one setting."""
    if entry is None:
        return "-"
    return "refused" if "failed" in entry else cell([entry])


def cell(entries: list[Entry]) -> str:
    """Return the figure of one model at one setting."""
    if not entries:
        return "-"
    key, sign = ("ratio", "x ") if "ratio" in entries[0] else ("drop", "")
    value, interval = (float(np.mean([entry[name] for entry in entries])) for name in (key, "interval"))
    digits = 3 if key == "ratio" else 2
    return f"{sign}{value:.{digits}f} ± {interval:.{digits}f}"


def bits_of(setting: str) -> tuple[int, str]:
    """Return the mean bits of weights, and the kind of activations."""
    if setting == "mixed":
        return 4, "a8, mixed weights"
    weights, _, acts = setting[1:].partition("a")
    return int(weights), f"a{acts}"


def figure(cells: Cells, tails: list[str]) -> alt.FacetChart:
    """Return the drop of every model against its bits of weights, a small figure per model."""
    points = [
        {
            "model": model,
            "pipeline": tail,
            "setting": setting,
            "bits": bits_of(setting)[0],
            "activations": bits_of(setting)[1],
            "drop": float(np.mean([entry["drop"] for entry in entries])),
        }
        for (tail, model, setting), entries in cells.items()
        if tail in tails and "drop" in entries[0]
    ]
    order = [name for name in CASES if any(point["model"] == name for point in points)]
    return (
        alt.Chart(alt.Data(values=points))
        .mark_point(filled=True, size=60)
        .encode(
            x=alt.X("bits:Q", title="bits of weights", scale=alt.Scale(domain=[2.5, 8.5])),
            y=alt.Y("drop:Q", title="points below float"),
            color=alt.Color("activations:N", scale=alt.Scale(scheme="dark2")),
            shape=alt.Shape("pipeline:N", sort=tails, legend=alt.Legend(labelLimit=400, orient="bottom")),
        )
        .properties(width=190, height=130)
        .facet(alt.Facet("model:N", title=None, sort=order), columns=3)
        .resolve_scale(y="independent")
    )


if __name__ == "__main__":
    main()
