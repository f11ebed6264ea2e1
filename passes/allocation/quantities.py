"""The texts in which users write quantities: ``12ms``, ``0.5x``, ``1%``, ``2,4,8``, ``conv1=w4a8``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from hwmodels import FLOAT, HardwareError, Metric, Precision
from passes.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hwmodels import HardwareModel

_TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_ENERGY = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "nJ": 1e-9, "pJ": 1e-12}
_BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_COUNT = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}

METRICS = {
    "latency": Metric.LATENCY,
    "energy": Metric.ENERGY,
    "size": Metric.WEIGHT_BYTES,
    "bops": Metric.BOPS,
    "memory": Metric.PEAK_MEMORY,
}
"""The user's word for each metric: ``--max-latency``, ``--minimize latency``."""

_UNITS = {
    Metric.LATENCY: _TIME,
    Metric.ENERGY: _ENERGY,
    Metric.WEIGHT_BYTES: _BYTES,
    Metric.BOPS: _COUNT,
    Metric.PEAK_MEMORY: _BYTES,
}
_SHAPE = re.compile(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8}){0,15}")
_QUANTITY = re.compile(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z%]*)")


@dataclass(frozen=True, slots=True)
class BudgetRequest:
    """A limit on one metric of the whole network.

    Attributes:
        metric: what is limited.
        value: the limit in the unit of the metric, or a factor of uniform 8-bit on the same target.
        relative: whether it is such a factor.
    """

    metric: Metric
    value: float
    relative: bool = False

    def __str__(self) -> str:
        """Print the limit with its option, as a user would write it in the base unit."""
        return f"--max-{word_of(self.metric)} {self.value:g}{'x' if self.relative else ''}"


def word_of(metric: Metric) -> str:
    """Return the user's word for a metric."""
    return next(word for word, known in METRICS.items() if known is metric)


def supported(target: HardwareModel) -> frozenset[Metric]:
    """Return the metrics that a budget may name on a target: those that sum over layers, and peak memory."""
    return target.metrics & (target.additive | {Metric.PEAK_MEMORY})


def first_metric(target: HardwareModel) -> Metric:
    """Return what is minimised unless another metric is asked for: the first that a target estimates."""
    return next(metric for metric in Metric if metric in target.metrics)


def parse_metric(word: str) -> Metric:
    """Read a word such as ``latency``.

    Raises:
        UsageError: no metric has that word.
    """
    if word not in METRICS:
        raise unknown_name("metric", word, METRICS)
    return METRICS[word]


def parse_budget(metric: Metric, text: str) -> BudgetRequest:
    """Read a limit with its unit, ``12ms``, or relative to uniform 8-bit, ``0.5x``.

    Raises:
        UsageError: not a positive number, or not a unit of this metric.
    """
    option, units = f"--max-{word_of(metric)}", _UNITS[metric]
    expected = f"a number with a unit ({', '.join(filter(None, units))}) or a factor such as 0.5x"
    value, unit = _split(option, text, expected)
    if unit != "x" and unit not in units:
        raise UsageError(f"{option}: expected {expected}, found {text[:40]!r}")
    limit = value * units.get(unit, 1.0)
    if not (isfinite(limit) and limit > 0):
        raise UsageError(f"{option}: the limit must be positive and finite, found {text[:40]!r}")
    return BudgetRequest(metric, limit, relative=unit == "x")


def parse_drop(text: str) -> float:
    """Read an accuracy drop in percentage points, ``1%``, as a fraction, 0.01.

    Raises:
        UsageError: not of this form, or not between 0% and 100%.
    """
    expected = "percentage points such as 1%"
    value, unit = _split("--max-drop", text, expected)
    if unit != "%" or not 0 <= value <= 100:
        raise UsageError(f"--max-drop: expected {expected}, from 0% to 100%, found {text[:40]!r}")
    # As drops are: 0.7 / 100 is less than 0.007.
    return round(value / 100, 12)


def parse_bytes(text: str, option: str) -> int:
    """Read a size such as ``512MB``, in bytes; ``option`` names its place in messages.

    Raises:
        UsageError: not of this form, or less than a byte.
    """
    expected = f"a size such as 512MB ({', '.join(_BYTES)})"
    value, unit = _split(option, text, expected)
    if unit not in _BYTES or not 1 <= value * _BYTES[unit] < 2**63:
        raise UsageError(f"{option}: expected {expected}, found {text[:40]!r}")
    return int(value * _BYTES[unit])


def parse_bits(text: str) -> tuple[int, ...]:
    """Read widths such as ``2,4,8`` or ``8,float``, as a sorted tuple without repetitions.

    Raises:
        UsageError: not integers separated by commas.
    """
    floats = {"float": str(FLOAT.act_bits)}
    words = [floats.get(word.strip(), word.strip()) for word in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,2}", word) for word in words):
        raise UsageError(f"--bits: expected integers separated by commas, such as 2,4,8, found {text[:40]!r}")
    return tuple(sorted({int(word) for word in words}))


def parse_names(text: str) -> tuple[str, ...]:
    """Read names separated by commas, in their order, without repetitions."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Read shapes of inputs such as ``image=1,3,480,640``.

    Raises:
        UsageError: not of this form, or an input twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        if not name or name in shapes or not _SHAPE.fullmatch(sizes):
            raise UsageError(f"--shape: expected NAME=1,3,480,640, every input once, found {text[:80]!r}")
        shapes[name] = tuple(int(size) for size in sizes.split(","))
    return shapes


def parse_pin(text: str) -> tuple[str, Precision]:
    """Read ``PATTERN=w8a8`` or ``PATTERN=float``: a glob on layer names or ``op:Conv``, and a precision.

    Raises:
        UsageError: not of this form.
    """
    pattern, _, precision = text.rpartition("=")
    if not pattern:
        raise UsageError(f"--pin: expected PATTERN=w8a8, found {text[:80]!r}")
    return pattern, parse_precision(precision, "--pin")


def parse_precision(text: str, option: str) -> Precision:
    """Read a pair such as ``w4a8``; ``option`` names its place in messages.

    Raises:
        UsageError: not such a pair.
    """
    try:
        return Precision.parse(text)
    except HardwareError as error:
        raise UsageError(f"{option}: {error}") from error


def _split(option: str, text: str, expected: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{option}: expected {expected}, found {text[:40]!r}")
    return float(match[1]), match[2]
