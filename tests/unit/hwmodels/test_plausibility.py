"""Remarks on prices that break no promise but that no real machine is likely to have."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from hwmodels import HardwareModel, load_target
from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import VectorUnit
from hwmodels.machines.bitfusion import BitFusion
from hwmodels.plausibility import implausible


def bitfusion() -> BitFusion:
    machine = load_target("bitfusion")
    assert isinstance(machine, BitFusion)
    return machine


@pytest.mark.parametrize("name", ["bitfusion", "bitfusion-server", "generic", "silago", "cortex-m4"])
def test_machines_of_the_books_get_no_remarks(name: str) -> None:
    assert implausible(load_target(name)) == []


def test_a_clock_in_the_wrong_unit_is_noticed() -> None:
    machine = bitfusion()
    slow = replace(machine, array=replace(machine.array, clock_hz=500.0))
    assert any("MACs per second at w8a8; check the units of clocks" in remark for remark in implausible(slow))


def test_an_energy_in_the_wrong_unit_is_noticed() -> None:
    machine = bitfusion()
    assert machine.energy is not None
    dear = replace(machine.energy, dram=replace(machine.energy.dram, dram_pj_per_bit=15e6))
    remarks = implausible(replace(machine, energy=dear))
    assert any("J per MAC at w8a8; check the units of energies" in remark for remark in remarks)


def test_conversions_that_outlast_their_layer_are_noticed() -> None:
    crawling = VectorUnit(elements_per_s=1e3, memory_bytes_per_s=1e9, source="made up")
    remarks = implausible(replace(bitfusion(), vector_unit=crawling))
    assert any("converting its input takes" in remark for remark in remarks)


@dataclass(frozen=True)
class Cubic(BitFusion):
    """A machine whose time falls with the third power of the bits of weights."""

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        seconds = layers.macs * run.weight**3 * 1e-13
        return Estimate(seconds, seconds, None)


def test_a_gain_beyond_that_of_bit_products_is_noticed() -> None:
    machine = bitfusion()
    cubic: HardwareModel = Cubic(machine.name, machine.arithmetic, None, machine.array, machine.energy)
    # From 16 bits to 2: 512 times faster for 8 times fewer bit products.
    assert any(
        "latency_s gains 64 times more than bit products do from w16" in it for it in implausible(cubic)
    )


def test_measurements_that_rise_are_remarks(tmp_path) -> None:
    (tmp_path / "times.csv").write_text(
        "layer,weight_bits,act_bits,latency_s\nfirst,4,8,0.002\nfirst,8,8,0.001\n"
    )
    (tmp_path / "board.toml").write_text(
        """
        [machine]
        name = "board"
        architecture = "lookup"
        description = "a table"
        [arithmetic]
        pairs = ["w4a8", "w8a8"]
        accumulator_bits = 32
        rounding = "half_even"
        source = "a test"
        [lookup]
        table = "times.csv"
        by = "name"
        source = "measured: a test"
        """
    )
    remarks = implausible(load_target(str(tmp_path / "board.toml")))
    assert remarks == ["first: latency_s falls from 0.002 at w4a8 to 0.001 at w8a8"]
