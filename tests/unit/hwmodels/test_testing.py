from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from hwmodels import (
    Cost,
    HardwareError,
    Metric,
    NetworkCost,
    Precision,
    UnsupportedError,
    Workload,
    load_target,
)
from hwmodels.machines.generic import Generic
from hwmodels.testing import check_hardware_model


def broken(kind: type[Generic]) -> Generic:
    base = load_target("generic")
    assert isinstance(base, Generic)
    return kind(base.name, replace(base.arithmetic, weight_bits=(2, 4), act_bits=(4, 8)), None)


@dataclass(frozen=True)
class Falling(Generic):
    def cost(self, work: Workload, precision: Precision) -> Cost:
        return replace(super().cost(work, precision), bops=1 / precision.weight_bits)


@dataclass(frozen=True)
class Silent(Generic):
    def cost(self, work: Workload, precision: Precision) -> Cost:
        return replace(super().cost(work, precision), bops=None)


@dataclass(frozen=True)
class Free(Generic):
    def cost(self, work: Workload, precision: Precision) -> Cost:
        return replace(super().cost(work, precision), bops=0)


@dataclass(frozen=True)
class Chatty(Generic):
    def cost(self, work: Workload, precision: Precision) -> Cost:
        return replace(super().cost(work, precision), energy_j=1.0)


@dataclass(frozen=True)
class Narrowing(Generic):
    def round_up(self, work: Workload, precision: Precision) -> Precision:
        return self.arithmetic.precisions[0]


@dataclass(frozen=True)
class Refusing(Generic):
    def round_up(self, work: Workload, precision: Precision) -> Precision:
        raise UnsupportedError(str(precision))


@dataclass(frozen=True)
class Unsorted(Generic):
    def precisions(self, work: Workload) -> tuple[Precision, ...]:
        return tuple(reversed(super().precisions(work)))


@dataclass(frozen=True)
class Careless(Generic):
    @property
    def additive(self) -> frozenset[Metric]:
        return frozenset({Metric.PEAK_MEMORY, Metric.ENERGY})


@dataclass(frozen=True)
class Blank(Generic):
    @property
    def metrics(self) -> frozenset[Metric]:
        return frozenset()

    @property
    def accumulator_bits(self) -> int:
        return 0


@dataclass(frozen=True)
class Forgetful(Generic):
    def cost(self, work: Workload, precision: Precision) -> Cost:
        return replace(super().cost(work, precision), priced_as=None)


@dataclass(frozen=True)
class Empty(Generic):
    def precisions(self, work: Workload) -> tuple[Precision, ...]:
        return ()


@dataclass(frozen=True)
class Inflated(Generic):
    def network_cost(self, works, precisions, schedule, elementwise) -> NetworkCost:
        return NetworkCost(Cost(bops=10, weight_bytes=10), ())


def test_a_good_machine_passes() -> None:
    check_hardware_model(broken(Generic))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Falling, "bops falls from 0.5 at w2a4 to 0.25 at w4a4"),
        (Silent, "bops at w2a4 is None"),
        (Free, "bops at w2a4 is 0"),
        (Chatty, "energy_j at w2a4 is 1.0, which contradicts metrics"),
        (Narrowing, r"round_up\(w1a5\) is w2a4, which is narrower"),
        (Refusing, r"round_up\(w1a1\) refuses"),
        (Unsorted, "not sorted"),
        (Blank, "metrics is empty"),
        (Blank, "accumulator_bits is 0"),
        (Forgetful, "cost at w1a1 is not priced as round_up says, w2a4"),
        (Empty, "precisions is empty"),
        (Inflated, "bops of 1, 2 and 4 copies"),
        (Careless, "peak memory is additive"),
        (Careless, r"additive lists .*energy_j"),
    ],
)
def test_a_broken_promise_is_reported(kind: type[Generic], message: str) -> None:
    with pytest.raises(HardwareError, match=message):
        check_hardware_model(broken(kind))
