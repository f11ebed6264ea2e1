"""How numbers are written for people: three significant digits and a fitting unit."""

from __future__ import annotations

from math import isfinite

COST_UNITS = {"latency_s": "s", "energy_j": "J", "weight_bytes": "B", "bops": "", "peak_memory_bytes": "B"}
"""The fields of `qtool.report.report.CostReport`, in order, with the unit of each."""

SHARES = ("top1", "top5", "agreement")
"""Task metrics that are shares of the samples, from 0 to 1."""
NOTHING = "-"
"""What stands for a number that is not known."""

_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"))


def cost(metric: str, value: float | None) -> str:
    """Write a cost, for instance ``1.25 ms``; `metric` is out of `COST_UNITS`."""
    if value is None or not isfinite(value):
        return NOTHING
    unit = COST_UNITS[metric]
    scales = _SMALL if unit in ("s", "J") else _LARGE
    factor, prefix = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    return f"{value / factor:.3g} {prefix}{unit}".rstrip()


def cost_or_number(metric: str, value: float | None) -> str:
    """Write a cost of any name; one that `COST_UNITS` does not have is a plain number."""
    return cost(metric, value) if metric in COST_UNITS else plain(value)


def task(metric: str, value: float | None) -> str:
    """Write the value of a task metric: a share as ``98.90 %``, a ratio of signal to noise as ``31.2 dB``."""
    if value is None or not isfinite(value):
        return NOTHING
    if metric == "sqnr":
        return f"{value:.1f} dB"
    return f"{100 * value:.2f} %" if metric in SHARES else f"{value:.5g}"


def share(value: float | None) -> str:
    """Write a fraction from 0 to 1 as a percentage."""
    return NOTHING if value is None or not isfinite(value) else f"{100 * value:.1f} %"


def ratio(value: float | None, reference: float | None) -> str:
    """Write how many times the reference a value is, such as ``0.50x``."""
    return NOTHING if value is None or not reference else f"{value / reference:.2f}x"


def plain(value: object) -> str:
    """Write any value of a JSON document in a table."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
