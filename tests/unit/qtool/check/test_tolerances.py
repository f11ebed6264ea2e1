"""The texts in which tolerances are written."""

from __future__ import annotations

import pytest

from hwmodels import Metric
from passes.errors import UsageError
from qtool.check.tolerances import Limit, Tolerances, limit, points, share


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.5%", (0.005, "%")), ("0%", (0.0, "%")), ("1.5dB", (1.5, "dB")), ("off", None), ("", None)],
)
def test_points(text: str, expected: tuple[float, str] | None) -> None:
    assert points("accuracy", text) == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(("text", "expected"), [("99%", 0.99), ("100%", 1.0), ("off", None)])
def test_shares(text: str, expected: float | None) -> None:
    assert share("coverage", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2%", Limit(1.02, "baseline", "2%")),
        ("0%", Limit(1.0, "baseline", "0%")),
        ("12ms", Limit(0.012, "absolute", "12ms")),
        ("0.6x", Limit(0.6, "uniform", "0.6x")),
        ("off", None),
    ],
)
def test_limits(text: str, expected: Limit | None) -> None:
    assert limit(Metric.LATENCY, text) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"accuracy": "1"},
        {"accuracy": "-1%"},
        {"accuracy": "1e9%"},
        {"drop": "nan%"},
        {"coverage": "101%"},
        {"agreement": "0.9"},
        {"latency": "12kB"},
        {"latency": "-1%"},
        {"size": "1ms"},
        {"size": "%"},
        {"lsb": -1},
        {"lint": "errors"},
        {"plan": "other"},
    ],
)
def test_what_cannot_be_read_is_refused_by_name(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"tolerance .*{next(iter(wrong))}"):
        Tolerances(**wrong)  # type: ignore[arg-type]
