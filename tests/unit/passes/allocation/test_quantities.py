"""Limits, drops, widths and pins, as users write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodels import Metric, Precision
from passes.allocation.quantities import (
    METRICS,
    BudgetRequest,
    parse_bits,
    parse_budget,
    parse_drop,
    parse_metric,
    parse_names,
    parse_pin,
    word_of,
)
from passes.errors import UsageError


@pytest.mark.parametrize(
    ("metric", "text", "value"),
    [
        (Metric.LATENCY, "12ms", 0.012),
        (Metric.LATENCY, "1.5 s", 1.5),
        (Metric.LATENCY, "250us", 250e-6),
        (Metric.ENERGY, "3mJ", 0.003),
        (Metric.WEIGHT_BYTES, "1.5MB", 1_500_000),
        (Metric.WEIGHT_BYTES, "2KiB", 2048),
        (Metric.PEAK_MEMORY, "256kB", 256_000),
        (Metric.BOPS, "2G", 2e9),
        (Metric.BOPS, "1e9", 1e9),
        (Metric.BOPS, ".5T", 5e11),
    ],
)
def test_an_absolute_limit_is_read_in_its_base_unit(metric: Metric, text: str, value: float) -> None:
    found = parse_budget(metric, text)
    assert found == BudgetRequest(metric, pytest.approx(value), relative=False)


@pytest.mark.parametrize("metric", list(Metric))
def test_a_relative_limit_is_a_factor(metric: Metric) -> None:
    assert parse_budget(metric, "0.5x") == BudgetRequest(metric, 0.5, relative=True)


@pytest.mark.parametrize(
    "text",
    ["", "12", "12kg", "ms", "-1ms", "0ms", "0x", "nan", "1e999ms", "1ms2", "12 MS", "0.5f", "x"],
)
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--max-latency: .*found"):
        parse_budget(Metric.LATENCY, text)


def test_a_limit_prints_as_its_option() -> None:
    assert str(BudgetRequest(Metric.WEIGHT_BYTES, 1e6)) == "--max-size 1e+06"
    assert str(parse_budget(Metric.LATENCY, "0.5x")) == "--max-latency 0.5x"


@given(st.sampled_from(list(Metric)), st.floats(1e-3, 1e3))
def test_a_printed_factor_is_read_back(metric: Metric, value: float) -> None:
    text = str(BudgetRequest(metric, value, relative=True)).split()[1]
    assert parse_budget(metric, text).value == pytest.approx(value, rel=1e-5)


@given(st.text(max_size=30))
def test_no_text_is_too_strange_for_a_limit(text: str) -> None:
    with suppress(UsageError):
        assert 0 < parse_budget(Metric.BOPS, text).value < float("inf")


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.25 %", 0.0025), ("0%", 0.0), ("100%", 1.0)])
def test_a_drop_is_a_fraction(text: str, value: float) -> None:
    assert parse_drop(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["1", "0.01", "-1%", "101%", "%", "1ms"])
def test_a_drop_needs_percentage_points(text: str) -> None:
    with pytest.raises(UsageError, match="--max-drop: expected percentage points"):
        parse_drop(text)


def test_widths_are_sorted_and_unique() -> None:
    assert parse_bits("8, 2,4,8") == (2, 4, 8)


@pytest.mark.parametrize("text", ["", "2,,4", "2-8", "two", "2.5", "²"])
def test_other_widths_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--bits"):
        parse_bits(text)


def test_a_pin_is_a_pattern_and_a_precision() -> None:
    assert parse_pin("layer*=w4a8") == ("layer*", Precision(4, 8))
    assert parse_pin("op:Conv=w8a8") == ("op:Conv", Precision(8, 8))
    assert parse_pin("a=b=w2a2") == ("a=b", Precision(2, 2))


@pytest.mark.parametrize("text", ["conv1", "=w8a8", "conv1=8", "conv1=w0a8", "conv1=w99a8"])
def test_other_pins_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--pin"):
        parse_pin(text)


def test_names_keep_their_order() -> None:
    assert parse_names("packed, qdq,packed,") == ("packed", "qdq")


def test_every_metric_has_a_word() -> None:
    assert [parse_metric(word_of(metric)) for metric in Metric] == list(Metric)
    assert len(METRICS) == len(Metric)
    with pytest.raises(UsageError, match="did you mean latency"):
        parse_metric("latencey")
