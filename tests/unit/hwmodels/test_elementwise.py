"""Work without products, priced by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwmodels import Elementwise, HardwareError, load_target
from hwmodels.elementwise import VectorUnit

UNIT = VectorUnit(
    elements_per_s=100.0,
    memory_bytes_per_s=50.0,
    source="made up",
    element_pj=3.0,
    memory_pj_per_bit=0.5,
    overhead_s=2.0,
    fused_ops=("Relu",),
)


def test_memory_or_the_unit_is_the_slower() -> None:
    add = Elementwise("sum", "Add", 200, 100)
    # 200 and 100 elements of one byte take 6 s of memory and 2 s of the unit.
    assert UNIT.price(add, 8, 8) == (2 + 6, pytest.approx((200 * 3 + 2400 * 0.5) * 1e-12))
    assert UNIT.price(add, 2, 2)[0] == 2 + 2


def test_a_conversion_reads_one_width_and_writes_another() -> None:
    conversion = Elementwise.conversion("x", 100)
    assert UNIT.price(conversion, 16, 8)[0] == 2 + 300 / 50
    assert UNIT.price(conversion, 8, 8) == (0, 0)


def test_fused_operators_pay_for_the_bits_that_they_add() -> None:
    relu = Elementwise("r", "Relu", 100, 100)
    assert UNIT.price(relu, 8, 4) == (0, 0)
    assert UNIT.price(relu, 4, 8) == (1, pytest.approx(400 * 0.5e-12))
    everything = replace(UNIT, fused_ops=("*",))
    assert everything.price(Elementwise.conversion("x", 100), 4, 8)[0] == 1


def test_widths_of_one_container_need_no_conversion() -> None:
    machine = load_target("hexagon-like")
    conversion = Elementwise.conversion("x", 1000)
    assert machine.elementwise_cost(conversion, 6, 7).latency_s == 0
    assert machine.elementwise_cost(conversion, 6, 16).latency_s > 0
    assert machine.elementwise_cost(conversion, 6, 16) == machine.elementwise_cost(conversion, 8, 16)


def test_nothing_is_no_work() -> None:
    with pytest.raises(HardwareError, match="Add 'sum': elements must be at least 1, found 0"):
        Elementwise("sum", "Add", 0, 1)
