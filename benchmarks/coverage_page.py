"""Writes docs/coverage.md from the results of benchmarks/coverage.py and benchmarks/large_model.py.

python benchmarks/coverage_page.py
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "coverage.md"
NOTHING = "nothing can be quantized"
LONG_S, WIDTH = 10, 110
"""Seconds above which a graph is listed by name; characters of a line."""
Entry = dict[str, Any]

TEXT = """# What goes through

`python benchmarks/coverage.py --data ../shared/data` runs the command line on each model below, with no
option but data and target, and compares what it wrote; `python benchmarks/coverage_page.py` writes this page
from `benchmarks/results/coverage.json` ({date}; onnxruntime {ort}).

## Networks

Uniform 8 bits on `bitfusion`, forms qdq, qcdq and packed. MACs: share of the multiplications of integers.

{networks}

## Odd graphs

{odd_count} graphs from many repositories: exporters' output, control flow, quantized models, custom
operators, training graphs, single operators of opset 1 to 24. Their inputs are random numbers, or zeros and
ones.

{odd}

Canonicalized, a model must give what it gave before in ONNX Runtime, within 1e-5. Refused are opsets below 7
and invalid nodes, and, to be quantized, graphs without a layer, with inputs that are no tensors of numbers,
or with operators that ONNX Runtime does not know.

{odd_long}

## The onnx package's tests of operators that multiply

{suite_count} tests of such operators, and of models that have one: attention and normalizations in small
operators, for example. Inputs but the first become constants, as a network would have them; models of matrix
products only keep those that have as many samples.

{suite}

## Large models

{large}
"""


def networks(entries: dict[str, Entry]) -> str:
    """Return a row per network."""
    head = ["network", "MACs", "metric", "float", "Q/DQ", "packed", "packed = Q/DQ", "layers", "float layers"]
    lines = [row(head), "|---" * len(head) + "|"]
    for name, entry in entries.items():
        it = entry["compiled"]
        if it["outcome"] != "exit 0":
            lines.append(row([name, it["outcome"], it.get("reason", ""), *[""] * (len(head) - 3)]))
            continue
        same = percent(it["agreement_packed_vs_qdq"])
        same = same if it["max_lsb"] is None else f"{it['max_lsb']:.0f} LSB, {same}"
        shares = [percent(it[key]) for key in ("float", "quantized", "packed")]
        counts = [str(it["layers"]), str(it["float_layers"])]
        lines.append(row([name, percent(it["macs"]), it["metric"], *shares, same, *counts]))
    return "\n".join(lines)


def outcomes(entries: dict[str, Entry]) -> str:
    """Return how many cases ended in which way."""
    canonical = Counter(entry["canonical"]["outcome"] for entry in entries.values())
    compiled = Counter(compiled_outcome(entry["compiled"]) for entry in entries.values())
    lines = [row(["step", "outcome", "cases"]), "|---|---|---|"]
    lines += [row(["canonicalize", name, str(count)]) for name, count in canonical.most_common()]
    lines += [row(["quantize", name, str(count)]) for name, count in compiled.most_common()]
    return "\n".join(lines)


def compiled_outcome(it: Entry) -> str:
    """Return the outcome of a compilation in words."""
    if it["outcome"] == "exit 3":
        return NOTHING if NOTHING in it["reason"] else "refused for another reason"
    if it["outcome"] != "exit 0":
        return str(it["outcome"])
    return "quantized, Q/DQ only" if it["no_packed_form"] else "quantized, Q/DQ and packed"


def long_ones(entries: dict[str, Entry]) -> str:
    """Name the graphs that took long."""
    seconds = {name: entry["compiled"]["seconds"] for name, entry in entries.items()}
    found = [f"{name.split('__')[-1]} ({value:.0f} s)" for name, value in seconds.items() if value > LONG_S]
    text = f"More than {LONG_S} s, on two cores beside much other work: {', '.join(found)}."
    return textwrap.fill(text, WIDTH) if found else ""


def large(path: Path) -> str:
    """Return the figures of the large model as a sentence."""
    if not path.exists():
        return "not measured."
    it = json.loads(path.read_text(encoding="utf-8"))
    sizes = f"{it['layers']} matrix products, {it['float_bytes'] / 1e9:.1f} GB of float32"
    memory = f"peak memory {it['peak_bytes'] / 1e6:.0f} MB (a layer has {it['layer_bytes'] / 1e6:.0f} MB)"
    result = f"the result has {it['size_over_asked']:.4f} times the bytes asked, and ONNX Runtime loads it"
    text = f"{sizes}, to 4 bits in groups of 32 in {it['seconds']:.0f} s; {memory}; {result}."
    text = f"`python benchmarks/large_model.py`: {text}"
    return textwrap.fill(text, WIDTH)


def percent(value: float | None) -> str:
    """Return a share as text."""
    return "-" if value is None else f"{100 * value:.2f} %"


def row(cells: list[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |"


def main() -> None:
    """Write the page."""
    document = json.loads((RESULTS / "coverage.json").read_text(encoding="utf-8"))
    found = document["environment"]
    text = TEXT.format(
        date=found["date"][:10],
        ort=found["versions"]["onnxruntime"],
        networks=networks(document["models"]),
        odd_count=len(document["odd"]),
        odd=outcomes(document["odd"]),
        odd_long=long_ones(document["odd"]),
        suite_count=len(document["suite"]),
        suite=outcomes(document["suite"]),
        large=large(RESULTS / "large_model.json"),
    )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
