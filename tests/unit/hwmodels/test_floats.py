"""Machines on which layers may stay in floating point."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from hwmodels import (
    FLOAT,
    Metric,
    Precision,
    SpecError,
    UnsupportedError,
    Workload,
    load_target,
    network_cost,
)

WORK = Workload.conv("dense", (64, 64), (3, 3), (56, 56))


def spec_with(tmp_path: Path, pair: str) -> str:
    path = tmp_path / "mine.toml"
    text = (files("hwmodels") / "specs" / "x86-avx2.toml").read_text(encoding="utf-8")
    path.write_text(text.replace('float_as = "w16a16"', f'float_as = "{pair}"'), encoding="utf-8")
    return str(path)


def test_float_is_a_word_for_both_sides_of_32_bits() -> None:
    assert Precision.parse("float") == FLOAT == Precision.parse("w32a32") == Precision(32, 32)


@pytest.mark.parametrize("name", ["x86-avx2", "x86-avx512-vnni"])
def test_floats_run_at_the_speed_of_a_pair_and_take_four_bytes(name: str) -> None:
    machine = load_target(name)
    wide, floats = (machine.cost(WORK, pair) for pair in (Precision(16, 16), FLOAT))
    assert floats.cycles == wide.cycles
    assert floats.weight_bytes == 4 * WORK.weight_count
    assert floats.bops == WORK.macs * 32 * 32
    assert floats.priced_as == FLOAT
    vector = Workload.gemm("vector", 1, 4096, 4096)
    # Where memory is the bound, floats take twice the time of 16 bits.
    times = [machine.cost(vector, pair).latency_s for pair in (Precision(16, 16), FLOAT)]
    assert times[1] == pytest.approx(2 * times[0], rel=0.01)


def test_weights_stored_narrow_are_priced_as_floats_with_their_own_bytes() -> None:
    cost = load_target("generic").cost(WORK, Precision(4, 32))
    assert cost.priced_as == FLOAT
    assert cost.weight_bytes == WORK.weight_count / 2


def test_a_network_may_mix_them() -> None:
    machine = load_target("x86-avx2")
    total = network_cost(machine, [WORK, WORK], [Precision(8, 8), FLOAT]).total
    parts = [machine.cost(WORK, pair).get(Metric.LATENCY) for pair in (Precision(8, 8), FLOAT)]
    assert total.latency_s == pytest.approx(sum(part for part in parts if part))


def test_machines_of_integers_have_none() -> None:
    machine = load_target("bitfusion")
    assert FLOAT not in machine.precisions(WORK)
    with pytest.raises(UnsupportedError):
        machine.cost(WORK, FLOAT)


def test_a_pair_that_some_kind_of_layer_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="float_as: expected a pair that every kind of layer has"):
        load_target(spec_with(tmp_path, "w8a16"))
