from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodels.arrays import LayerArrays, PairArrays
from hwmodels.machines.roofline import Memory, Power
from hwmodels.testing import SAMPLES
from hwmodels.types import Precision
from hwmodels.workload import Workload


def traffic(work: Workload, on_chip_bytes: int, precision: Precision = Precision(8, 8)) -> float:  # noqa: B008
    memory = Memory(on_chip_bytes, 1e9, "by hand")
    return float(memory.traffic_bytes(LayerArrays.of([work]), PairArrays.row([precision]))[0, 0])


PRODUCT = Workload.gemm("product", 20, 30, 40)


def test_operands_that_fit_move_once() -> None:
    assert traffic(PRODUCT, 10_000) == 20 * 30 + 30 * 40 + 20 * 40


def test_narrow_operands_move_fewer_bytes() -> None:
    assert traffic(PRODUCT, 10_000, Precision(4, 16)) == 20 * 30 * 2 + 30 * 40 / 2 + 20 * 40 * 2


def test_the_cheaper_operand_stays() -> None:
    # 1,200 bytes of weights in three blocks of 500 read 600 bytes of inputs three times: 3,000; the inputs in
    # two blocks read the weights twice: 600 + 2,400 = 3,000 as well; then 800 bytes of outputs.
    assert traffic(PRODUCT, 500) == 3000 + 800
    # Two blocks of weights read the inputs twice: 2,400; inputs that stay read the weights once: 1,800.
    assert traffic(PRODUCT, 600) == 1800 + 800


def test_weights_of_a_recurrent_layer_are_read_in_every_step_unless_they_fit() -> None:
    work = Workload.recurrent("gates", (10, 10), gates=4, steps=50)
    activations = work.in_elements + work.out_elements
    assert traffic(work, 800) == 800 + activations
    assert traffic(work, 799) == 50 * 800 + activations


def test_products_of_attention_are_blocked_one_by_one() -> None:
    work = Workload.matmul("scores", 8, 10, 10, 10)
    assert traffic(work, 100) == 8 * 300
    # Neither side of a product fits: two blocks of one side stream the other twice.
    assert traffic(work, 99) == 8 * (100 + 200 + 100)


def test_groups_are_blocked_one_by_one() -> None:
    work = Workload.conv("grouped", (8, 8), (1,), (10,), groups=4)
    assert traffic(work, 4) == work.weight_count + work.in_elements + work.out_elements


def test_time_and_energy_follow_from_bandwidth_and_power() -> None:
    layers, pairs = LayerArrays.of([PRODUCT]), PairArrays.row([Precision(8, 8)])
    memory = Memory(10_000, 1e6, "by hand")
    seconds = memory.seconds(memory.traffic_bytes(layers, pairs))
    assert seconds[0, 0] == pytest.approx(2.6e-3)
    assert Power(2.0, "by hand").energy_j(seconds)[0, 0] == pytest.approx(5.2e-3)


@given(st.sampled_from(SAMPLES), st.integers(1, 10**7), st.integers(1, 15), st.integers(1, 15))
def test_less_memory_and_more_bits_never_move_less(work: Workload, size: int, weight: int, act: int) -> None:
    now = traffic(work, size, Precision(weight, act))
    assert traffic(work, 2 * size, Precision(weight, act)) <= now
    assert traffic(work, size, Precision(weight + 1, act)) >= now
    assert traffic(work, size, Precision(weight, act + 1)) >= now
