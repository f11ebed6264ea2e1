"""Typed access to the fields of a JSON document from an unknown source; every refusal names the place."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias

from passes.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator

Json: TypeAlias = dict[str, Any]
"""A parsed JSON object."""

MAX_BITS = 64
"""Widest precision that a choice may name."""


def refuse(where: str, expected: str, found: object) -> ProblemError:
    """Build the error for a field; long values are cut short in the message."""
    text = repr(found)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return ProblemError(f"{where}: expected {expected}, found {shown}")


def as_object(value: object, where: str) -> Json:
    """Return a JSON object, or raise `ProblemError`."""
    if not isinstance(value, dict):
        raise refuse(where, "an object", value)
    return value


def as_text(value: object, where: str) -> str:
    """Return a non-empty string, or raise `ProblemError`."""
    if not isinstance(value, str) or not value:
        raise refuse(where, "a non-empty string", value)
    return value


def as_number(value: object, where: str) -> float:
    """Return a finite number, or raise `ProblemError` (for booleans, NaN and infinities too)."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # The comparison comes first: an integer of a thousand digits cannot become a float.
    if not number or not abs(value) < 1e300 or not isfinite(value):  # type: ignore[arg-type]
        raise refuse(where, "a finite number", value)
    return float(value)  # type: ignore[arg-type]


def as_bits(value: object, where: str) -> int:
    """Return a precision of 1 to `MAX_BITS` bits, or raise `ProblemError`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_BITS:
        raise refuse(where, f"a whole number of bits from 1 to {MAX_BITS}", value)
    return value


def as_cost(value: object, where: str) -> dict[str, float]:
    """Return an object of finite numbers by metric, or raise `ProblemError`."""
    return {
        as_text(metric, where): as_number(number, f"{where}.{metric}")
        for metric, number in as_object(value, where).items()
    }


def as_items(value: object, where: str) -> Iterator[tuple[Any, str]]:
    """Yield the items of a JSON array, each with its place, or raise `ProblemError`."""
    if not isinstance(value, list):
        raise refuse(where, "an array", value)
    return ((item, f"{where}[{index}]") for index, item in enumerate(value))


def as_names(value: object, where: str) -> tuple[tuple[str, ...], ...]:
    """Return an array of arrays of strings, or raise `ProblemError`."""
    return tuple(
        tuple(as_text(name, at) for name, at in as_items(row, place)) for row, place in as_items(value, where)
    )
