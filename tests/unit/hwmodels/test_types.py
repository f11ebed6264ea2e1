from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodels import Cost, HardwareError, Metric, Precision

BITS = st.integers(min_value=1, max_value=32)


@given(weight_bits=BITS, act_bits=BITS)
def test_a_precision_survives_being_printed(weight_bits: int, act_bits: int) -> None:
    precision = Precision(weight_bits, act_bits)
    assert Precision.parse(str(precision)) == precision


@pytest.mark.parametrize(
    "text", ["", "w4", "a8w4", "w4a8 ", "w0a8", "w4a33", "w4a8a8", "W4A8", "w٤a8", "w-1a8"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(HardwareError, match="precision"):
        Precision.parse(text)


@pytest.mark.parametrize("bits", [0, -1, 33, 4.0, True, None])
def test_bits_that_are_no_bit_count_are_refused(bits: object) -> None:
    with pytest.raises(HardwareError, match="act_bits"):
        Precision(4, bits)  # type: ignore[arg-type]


def test_precisions_are_ordered_by_weights_first() -> None:
    assert sorted([Precision(8, 2), Precision(2, 8), Precision(2, 4)]) == [
        Precision(2, 4),
        Precision(2, 8),
        Precision(8, 2),
    ]


def test_a_pair_covers_another_only_if_both_sides_do() -> None:
    assert Precision(4, 8).covers(Precision(4, 4))
    assert not Precision(4, 8).covers(Precision(8, 4))


def test_a_cost_answers_by_metric() -> None:
    cost = Cost(latency_s=0.5, bops=12)
    assert cost.get(Metric.LATENCY) == 0.5
    assert cost.get(Metric.BOPS) == 12
    assert cost.get(Metric.ENERGY) is None


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_an_impossible_cost_is_refused(value: float) -> None:
    with pytest.raises(HardwareError, match="cycles"):
        Cost(cycles=value)
    with pytest.raises(HardwareError, match="energy_j"):
        Cost(energy_j=value)
