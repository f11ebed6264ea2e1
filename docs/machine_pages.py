"""Writes a page per built-in machine into docs/machines, from its TOML file and the docstring of its class.

Usage: python docs/machine_pages.py [--plots]
"""

from __future__ import annotations

import argparse
import inspect
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodels import FLOAT, HardwareModel, Precision, UnsupportedError, Workload, load_target
from hwmodels.fields import shown
from hwmodels.registry import BUILTIN
from hwmodels.spec import HardwareSpec, read_spec
from hwmodels.testing import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent / "machines"

LAYERS = (
    Workload.conv("dense convolution, 3x3, 64 to 64 channels, 56x56", (64, 64), (3, 3), (56, 56)),
    Workload.conv(
        "depthwise convolution, 3x3, 96 channels, 112x112", (96, 96), (3, 3), (112, 112), groups=96
    ),
    Workload.gemm("fully connected, 1024 to 1000", 1, 1024, 1000),
)
"""The three layers whose prices every page shows."""


def pages() -> dict[str, str]:
    """Return the text of every page by file name, the index included."""
    found = {f"{name}.md": _page(name) for name in BUILTIN}
    return found | {"README.md": _index()}


def _index() -> str:
    rows = [
        f"| [{name}]({name}.md) | {_spec(name).machine.description} | {_estimates(load_target(name))} | "
        f"{_spec(name).machine.checked or 'not checked'} |"
        for name in BUILTIN
    ]
    return "\n".join(
        (
            "# Machines",
            "",
            "What comes with the tool, what each machine estimates, and what it was checked against.",
            "These pages are written by `python docs/machine_pages.py --plots` from `hwmodels/specs`.",
            "",
            "| machine | what it is | estimates | checked |",
            "|---|---|---|---|",
            *rows,
            "",
            "How the allocations for these machines differ: [policies](../policies.md).",
            "",
        )
    )


def _page(name: str) -> str:
    spec, machine = _spec(name), load_target(name)
    sections = [
        f"# {name}",
        f"{_sentence(spec.machine.description)} It estimates {_estimates(machine)}.",
        "## How it is priced",
        _formulas(machine),
        "## What it runs",
        _table(("kind of layer", "pairs of weight and activation bits"), _kinds(machine)),
        _table(("rule", "value"), _rules(machine)),
        "## Prices",
        "Latency and energy at lower bits, as a share of the same layer at w8a8:",
        f"![latency and energy against bits]({name}.svg)",
        _prices(machine),
        "## Numbers and where they come from",
        *(_numbers(table, keys) for table, keys in spec.tables.items()),
        "## Checked",
        spec.machine.checked or "Not checked against published or measured numbers.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _spec(name: str) -> HardwareSpec:
    return read_spec(resources.files("hwmodels") / "specs" / f"{name}.toml")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _estimates(machine: HardwareModel) -> str:
    words = {"latency_s": "latency", "energy_j": "energy"}
    known = [word for metric, word in words.items() if metric in machine.metrics]
    return " and ".join(known) or "neither latency nor energy"


def _formulas(machine: HardwareModel) -> str:
    module = sys.modules[type(machine).__module__]
    texts = (inspect.getdoc(module) or "", inspect.getdoc(type(machine)) or "")
    return "\n\n".join(text.split("\n\nAttributes:")[0] for text in texts).replace("``", "`")


def _kinds(machine: HardwareModel) -> list[tuple[str, str]]:
    """Return the pairs by kind of layer, kinds with the same pairs on one row."""
    names: dict[str, list[str]] = {}
    for work in SAMPLES:
        try:
            pairs = _pairs(machine.precisions(work))
        except UnsupportedError:
            pairs = "not run"
        names.setdefault(pairs, []).append(work.name)
    return [("all" if len(names) == 1 else ", ".join(kinds), pairs) for pairs, kinds in names.items()]


def _pairs(pairs: Sequence[Precision]) -> str:
    if FLOAT in pairs:
        return f"{_pairs([pair for pair in pairs if pair != FLOAT])}; floats"
    weights, acts = sorted({it.weight_bits for it in pairs}), sorted({it.act_bits for it in pairs})
    if len(pairs) < len(weights) * len(acts) or len(pairs) < 4:
        return ", ".join(str(pair) for pair in pairs)
    weight_text, act_text = (", ".join(str(bits) for bits in side) for side in (weights, acts))
    return f"weights of {weight_text} bits with activations of {act_text} bits"


def _rules(machine: HardwareModel) -> list[tuple[str, str]]:
    rules = next(rule for rule in (_rules_of(machine, work) for work in SAMPLES) if rule is not None)
    return [
        ("scales of weights", ", ".join(rules.granularities).replace("_", " ")),
        ("zero points", _zero_points(rules)),
        ("scales", "powers of two" if rules.power_of_two_scales else "any"),
        ("bits of biases, of accumulators", f"{rules.bias_bits}, {_accumulators(rules)}"),
        ("requantization", f"{rules.requantization.replace('_', ' ')}, {rules.rounding.replace('_', ' ')}"),
        ("memory holds values", "at their own width" if rules.packed_storage else "at the width of the pair"),
        ("operators with shared parameters", ", ".join(sorted(machine.shared_parameter_ops)) or "none"),
    ]


def _rules_of(machine: HardwareModel, work: Workload) -> Any:
    try:
        return machine.rules(work)
    except UnsupportedError:
        return None


def _accumulators(rules: Any) -> str:
    narrow, wide = rules.accumulator_bits, rules.wide_accumulator_bits
    return str(narrow) if wide == narrow else f"{narrow} ({wide} where a factor has 16 bits)"


def _zero_points(rules: Any) -> str:
    acts = "activations signed, without zero point" if rules.symmetric_acts else "activations any"
    return f"weights {'0' if rules.symmetric_weights else 'any'}; {acts}"


def _prices(machine: HardwareModel) -> str:
    rows = []
    for work in LAYERS:
        for pair in (Precision(8, 8), Precision(4, 8), Precision(4, 4), Precision(2, 2)):
            try:
                cost = machine.cost(work, pair)
            except UnsupportedError:
                continue
            rows.append(
                (work.name, str(pair), str(cost.priced_as), _number(cost.latency_s), _number(cost.energy_j))
            )
    return _table(("layer", "asked for", "run at", "latency, s", "energy, J"), rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _numbers(name: str, keys: Any) -> str:
    rows = [(f"`{key}`", _value(value)) for key, value in keys.items() if key != "source"]
    source = _sentence(str(keys.get("source", "none")))
    return f"### `[{name}]`\n\nSource: {source}\n\n{_table(('key', 'value'), rows)}"


def _value(value: object) -> str:
    items = [str(item) for item in value] if isinstance(value, list) else [shown(value)]
    return ", ".join(items[:24]) + (f" ... ({len(items)} in all)" if len(items) > 24 else "")


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Write the pages, and with ``--plots`` the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plots", action="store_true", help="the figures too (needs the extra docs)")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for file, text in pages().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
    if arguments.plots:
        from machine_plots import write_plots

        write_plots(FOLDER, LAYERS)


if __name__ == "__main__":
    main()
