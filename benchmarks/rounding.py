"""Where ONNX Runtime's quantized operators and the float rule of the integer runtime give other codes.

    python benchmarks/rounding.py [--cases 300]

Runs random one-operator programs in both (`ort_cases.py`), writes benchmarks/results/rounding.json, and puts
its figures into the table of docs/rounding.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environment import INSTRUCTIONS, environment
from ort_cases import EXACT, OTHERWISE, SATURATING, Draw

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "rounding.json"
PAGE = ROOT / "docs" / "rounding.md"
START, END = "<!-- table -->\n", "<!-- end of table -->"


@dataclass(frozen=True)
class Rate:
    """How often two outputs differ.

    Attributes:
        operator: what ran.
        scales: ``any``, or ``powers of two``, which bring many sums exactly between two codes.
        elements: how many were compared.
        differing: share of those that differ.
        even: the same where the zero point of the output is even.
        steps: largest difference, in steps of the output.
    """

    operator: str
    scales: str
    elements: int
    differing: float
    even: float
    steps: float


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    count = parser.parse_args().cases
    rates = [
        measure(name, draw, count, tied=tied)
        for name, draw in (EXACT | SATURATING | OTHERWISE).items()
        for tied in (False, True)
    ]
    document: dict[str, Any] = {
        "environment": environment(),
        "cases": count,
        "rates": [asdict(rate) for rate in rates],
    }
    RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    text = table(rates)
    print(text, end="")
    instructions = ", ".join(document["environment"]["instructions"]) or "none of these"
    text = f"\nInstructions of the processor, out of {', '.join(INSTRUCTIONS)}: {instructions}.\n\n{text}\n"
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    PAGE.write_text(f"{before}{START}{text}{END}{rest.split(END)[1]}", encoding="utf-8")


def measure(name: str, draw: Draw, count: int, *, tied: bool) -> Rate:
    """Compare over cases with the seeds 0, 1, 2 ..."""
    apart: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for seed in range(count):
        case = draw(np.random.default_rng(seed), tied=tied)
        zero = case.artifact.tensors["y"].zero_point
        apart[zero % 2 == 0].append(case.steps_apart().ravel())
    even = np.concatenate([np.zeros(0), *apart[True]])
    every = np.concatenate([even, *apart[False]])
    scales = "powers of two" if tied else "any"
    share = float((even > 0).mean()) if even.size else 0.0
    return Rate(name, scales, every.size, float((every > 0).mean()), share, float(every.max(initial=0)))


def table(rates: list[Rate]) -> str:
    """Return a row per operator, with what differs for either kind of scales."""
    lines = [
        "| operator | elements | differ, any scales | powers of two | and an even zero point | most steps |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for any_scale, tied in zip(rates[::2], rates[1::2], strict=True):
        shares = " | ".join(percent(share) for share in (any_scale.differing, tied.differing, tied.even))
        most = max(any_scale.steps, tied.steps)
        elements = any_scale.elements + tied.elements
        lines.append(f"| {any_scale.operator} | {elements:,} | {shares} | {most:g} |")
    return "\n".join(lines) + "\n"


def percent(share: float) -> str:
    """Return a share in percent; exactly none is said so."""
    return f"{100 * share:.4f} %" if share else "none"


if __name__ == "__main__":
    main()
