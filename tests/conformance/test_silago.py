"""SiLago meets the figures of MOHAQ's formulas for its recurrent network, to the printed digits."""

from __future__ import annotations

import pytest

from hwmodels import Precision, Workload, load_target, network_cost

MATRICES = (75_900, *(844_800,) * 3, *(281_600,) * 3, 2_094_400)
OPERATIONS = 5_637_500
VECTOR_WEIGHTS_J = 8_800 * 16 * 0.08e-12
"""MOHAQ keeps vectors and biases at 16 bits; they multiply no matrix and so belong to no layer."""


def network() -> list[Workload]:
    """Every weight is used once per frame."""
    return [Workload.gemm(f"matrix {at}", 1, size // 100, 100) for at, size in enumerate(MATRICES)]


def total(bits: int) -> tuple[float, float]:
    works = network()
    cost = network_cost(load_target("silago"), works, [Precision(bits, bits)] * len(works)).total
    return cost.latency_s or 0.0, cost.energy_j or 0.0


@pytest.mark.parametrize(("bits", "microjoules"), [(16, "16.36"), (8, "6.57"), (4, "2.638")])
def test_energy_of_the_whole_network(bits: int, microjoules: str) -> None:
    digits = len(microjoules.split(".")[1])
    assert f"{(total(bits)[1] + VECTOR_WEIGHTS_J) * 1e6:.{digits}f}" == microjoules


def test_the_largest_speed_up_counts_operations_that_gain_nothing() -> None:
    speed_up = total(16)[0] / total(4)[0]
    assert sum(work.macs for work in network()) == 5_549_500
    assert f"{5_549_500 * speed_up / OPERATIONS:.2f}" == "3.94"
