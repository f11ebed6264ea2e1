"""Writes docs/lint.md from the rules of `qtool lint`.

Usage: python docs/lint_page.py
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from passes.lint.rules import RULES

if TYPE_CHECKING:
    from passes.lint.finding import Rule

PAGE = Path(__file__).parent / "lint.md"
FAMILIES = {
    "1": "Models that do not load, or fail when they run",
    "2": "Models that run, with other values than the file says",
    "3": "Quantized parts that run in floating point",
    "4": "Slower than the float model, or larger than need be",
}
HEAD = """# Will this model load, run on integers and be right?

`qtool lint MODEL` knows what releases of ONNX Runtime (1.20 and later, on processors) make of quantized
models, anyone's:

<!-- starts with: model.qdq.onnx -->
```sh
qtool lint model.qdq.onnx                                  # for the release that is installed
qtool lint model.qdq.onnx --runtime onnxruntime==1.24.1    # for another
qtool lint model.qdq.onnx --level basic                    # when loaded at ORT_ENABLE_BASIC
qtool lint model.qdq.onnx --json                           # for machines
```

It reads the file and runs nothing; weights beside the file are not read. Exit codes: 0 when there is no
error, 5 when there is one, 3 when the file is no model. A finding has a code that stays the same from
release to release, the node, the tensor and what to do. Errors do not load, do not run or are silently
wrong; warnings cost accuracy or time; notes say what stays in floating point or is a rounding step off.
From Python: `passes.lint.lint.lint(proto, Runtime((1, 31)))`.

`qtool lower` and `qtool quantize` write no model with an error for ONNX Runtime 1.31, in any form
(`tests/differential/lint/test_lowered.py`).

How it is known: every trap has a model of a few nodes in `tests/differential/lint/test_traps.py`, and a
twin without it; both run in the installed release. `test_grid.py` beside it goes through all pairs of types
(Conv, MatMul, Gemm and ConvTranspose, 7 types of activations, 7 of weights, blocks of 3 sizes; 25 other
operators) and demands an error where the default level fails or is wrong, and none elsewhere.

The column "Since" is the first release in which a trap was seen, among 1.20.1, 1.22.1, 1.23.2, 1.24.1,
1.26.0, 1.28.0 and 1.31.1; the grid was run on all of them; a release between two of them is taken for the
older one, a newer one for 1.31. QT103, QT105, QT206, QT208, QT303, QT304 and QT306 were run on 1.31.1 only,
and are taken to hold for all. Functions that a model brings are looked into where they are
called; `block/Conv_3__1` is a node of the function `block`. The times are of one convolution and one matrix
product on one thread of an x86 processor with AVX-512 VNNI.

This page is written by `python docs/lint_page.py` from `passes/lint`.
"""


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for family, rules in groupby(RULES, key=lambda rule: rule.code[2]):
        parts.append(f"## {FAMILIES[family]}\n")
        parts.append(
            "| code | severity | what | why | what to do | since | at basic |\n|---|---|---|---|---|---|---|"
        )
        parts.append("\n".join(_row(rule) for rule in rules) + "\n")
    return "\n".join(parts)


def _row(rule: Rule) -> str:
    since = ".".join(str(part) for part in rule.since)
    cells = (
        rule.code,
        rule.severity,
        rule.title,
        rule.explanation,
        rule.fix,
        since,
        "yes" if rule.basic else "no",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
