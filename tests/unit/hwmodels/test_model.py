from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hwmodels import (
    Cost,
    HardwareError,
    LiveTensor,
    Metric,
    NetworkCost,
    Precision,
    Schedule,
    Step,
    UnsupportedError,
    Workload,
    load_target,
    narrowest_cover,
    network_cost,
    price_table,
)
from hwmodels.machines.generic import Generic

WORKS = (Workload.gemm("one", 1, 8, 4), Workload.gemm("two", 1, 4, 2))
SCHEDULE = Schedule(
    (LiveTensor("x", 8, 8), LiveTensor("h", 4, 8), LiveTensor("y", 2, 8)),
    (Step(("x",), ("h",)), Step(("h",), ("y",))),
    ("y",),
)


@dataclass(frozen=True)
class Overlapping(Generic):
    """A machine whose network costs what it says itself."""

    def network_cost(self, works, precisions, schedule, elementwise) -> NetworkCost:
        return NetworkCost(Cost(bops=7), ())


def test_the_narrowest_cover_has_the_fewest_bit_products() -> None:
    square = [Precision(4, 4), Precision(8, 8), Precision(16, 16)]
    assert narrowest_cover(square, Precision(3, 5), "here") == Precision(8, 8)
    assert narrowest_cover([Precision(8, 2), Precision(4, 4)], Precision(2, 2), "here") == Precision(4, 4)


def test_what_nothing_covers_is_refused_with_what_there_is() -> None:
    with pytest.raises(UnsupportedError, match=r"here: no supported precision covers w9a2; .* w4a4, w8a8"):
        narrowest_cover([Precision(8, 8), Precision(4, 4)], Precision(9, 2), "here")


def test_the_price_table_has_a_row_per_layer_and_a_column_per_precision() -> None:
    table = price_table(load_target("generic"), WORKS, [Precision(2, 4), Precision(8, 8)])
    assert list(table) == [Metric.WEIGHT_BYTES, Metric.PEAK_MEMORY, Metric.BOPS]
    np.testing.assert_array_equal(table[Metric.BOPS], [[32 * 8, 32 * 64], [8 * 8, 8 * 64]])
    np.testing.assert_array_equal(table[Metric.WEIGHT_BYTES], [[8, 32], [2, 8]])
    assert table[Metric.BOPS].dtype == np.float64


def test_an_empty_price_table_keeps_its_shape() -> None:
    assert price_table(load_target("bitfusion"), [], [Precision(8, 8)])[Metric.LATENCY].shape == (0, 1)


def test_a_network_is_the_sum_of_its_layers() -> None:
    cost = network_cost(load_target("generic"), WORKS, [Precision(2, 4), Precision(8, 8)], SCHEDULE)
    assert cost.total.bops == 32 * 8 + 8 * 64
    assert cost.total.weight_bytes == 8 + 8
    assert cost.total.peak_memory_bytes == 12
    assert cost.total.latency_s is None
    assert [layer.priced_as for layer in cost.layers] == [Precision(2, 4), Precision(8, 8)]


def test_what_is_not_estimated_stays_unknown() -> None:
    generic = network_cost(load_target("generic"), WORKS, [Precision(8, 8)] * 2)
    assert generic.total.peak_memory_bytes is None
    assert generic.total.cycles is None
    bitfusion = network_cost(load_target("bitfusion"), WORKS, [Precision(8, 8)] * 2, SCHEDULE)
    assert bitfusion.total.peak_memory_bytes == 12
    assert bitfusion.total.cycles == sum(layer.cycles or 0 for layer in bitfusion.layers)


def test_a_machine_may_price_networks_itself() -> None:
    base = load_target("generic")
    assert isinstance(base, Generic)
    model = Overlapping(base.name, base.arithmetic, None)
    assert network_cost(model, WORKS, [Precision(8, 8)] * 2).total.bops == 7


def test_one_precision_per_layer_is_needed() -> None:
    with pytest.raises(HardwareError, match="expected 2 precisions, one per layer, found 1"):
        network_cost(load_target("generic"), WORKS, [Precision(8, 8)])
