from __future__ import annotations

import pytest

from hwmodels import Metric, Precision, UnsupportedError, Workload, load_target

WORK = Workload.conv("pointwise", (64, 64), (1, 1), (25, 5))


def test_time_and_energy_follow_from_the_products() -> None:
    cost = load_target("cortex-m4").cost(WORK, Precision(8, 8))
    assert cost.cycles == pytest.approx(512_000 / 0.262)
    assert cost.latency_s == pytest.approx(512_000 / 0.262 / 120e6)
    assert cost.energy_j == pytest.approx(0.052 * 512_000 / 0.262 / 120e6)


def test_four_bits_save_flash_and_not_time() -> None:
    model = load_target("cortex-m4")
    narrow, wide = (model.cost(WORK, Precision(bits, 8)) for bits in (4, 8))
    assert narrow.latency_s == wide.latency_s
    assert (narrow.weight_bytes, wide.weight_bytes) == (2048, 4096)


@pytest.mark.parametrize("name", ["cortex-m4", "cortex-m55"])
def test_rules_are_those_of_the_library(name: str) -> None:
    model = load_target(name)
    rules = model.rules(WORK)
    assert rules.symmetric_weights
    assert (rules.requantization, rules.rounding) == ("gemmlowp", "half_away")
    assert [str(pair) for pair in rules.precisions] == ["w4a8", "w8a8", "w8a16"]
    # Weights of 4 bits have kernels for activations of 8 bits alone.
    assert model.round_up(WORK, Precision(4, 16)) == Precision(8, 16)
    with pytest.raises(UnsupportedError, match="layers of kind Recurrent do not run here"):
        model.rules(Workload.recurrent("gates", (8, 8), gates=3, steps=2))


def test_the_vector_extension_halves_its_rate_at_sixteen_bits() -> None:
    model = load_target("cortex-m55")
    cycles = [model.cost(WORK, Precision(8, bits)).cycles for bits in (8, 16)]
    assert cycles == pytest.approx([128_000, 256_000])
    assert Metric.ENERGY not in model.metrics
