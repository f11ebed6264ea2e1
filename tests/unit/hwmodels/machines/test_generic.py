from __future__ import annotations

import pytest

from hwmodels import FLOAT, Metric, Precision, UnsupportedError, Workload, load_target

WORK = Workload.gemm("fc", 1, 5, 3)


def test_counts_follow_from_the_layer() -> None:
    cost = load_target("generic").cost(WORK, Precision(3, 4))
    assert cost.bops == 15 * 3 * 4
    assert cost.weight_bytes == 6
    # Five inputs and three outputs of four bits, each padded to bytes.
    assert cost.peak_memory_bytes == 3 + 2
    assert cost.latency_s is None
    assert cost.energy_j is None
    assert cost.priced_as == Precision(3, 4)


def test_widths_between_eight_and_sixteen_round_up() -> None:
    model = load_target("generic")
    assert model.round_up(WORK, Precision(9, 4)) == Precision(16, 4)
    assert len(model.precisions(WORK)) == 81 + 1
    assert model.precisions(WORK)[-1] == FLOAT
    assert model.round_up(WORK, Precision(17, 4)) == FLOAT
    with pytest.raises(UnsupportedError):
        load_target("bitfusion").round_up(WORK, FLOAT)


def test_peak_memory_does_not_sum_up() -> None:
    model = load_target("generic")
    assert model.metrics - model.additive == {Metric.PEAK_MEMORY}
