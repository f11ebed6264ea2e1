from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import pytest

from hwmodels import Precision, UnsupportedError, Workload, load_target, network_cost
from hwmodels.arrays import LayerArrays, PairArrays
from hwmodels.elementwise import Elementwise
from hwmodels.machines.bitfusion import BitFusion
from hwmodels.machines.bitfusion_array import compute_cycles, cycles_per_product, dram_bits, parallel_products

DENSE = Workload.conv("dense", (64, 64), (3, 3), (56, 56))
DEPTHWISE = Workload.conv("depthwise", (96, 96), (3, 3), (28, 28), groups=96)


@pytest.fixture(scope="module")
def machine() -> BitFusion:
    model = load_target("bitfusion")
    assert isinstance(model, BitFusion)
    return model


def parse(text: str) -> Precision:
    return Precision.parse(text)


def pairs(text: str) -> PairArrays:
    return PairArrays.row([parse(text)])


def layers(work: Workload) -> LayerArrays:
    return LayerArrays.of([work])


@pytest.mark.parametrize(
    ("asked", "rate"),
    [
        ("w8a8", 1),
        ("w8a4", 2),
        ("w4a4", 4),
        ("w3a3", 4),
        ("w2a2", 16),
        ("w1a1", 16),
        ("w2a8", 4),
        ("w5a5", 1),
        ("w6a4", 2),
        ("w16a8", Fraction(1, 2)),
        ("w16a16", Fraction(1, 4)),
    ],
)
def test_products_per_cycle_of_a_fusion_unit(machine: BitFusion, asked: str, rate: Fraction) -> None:
    run = PairArrays.row([machine.round_up(DENSE, parse(asked))])
    assert Fraction(parallel_products(run).item()) / Fraction(cycles_per_product(run).item()) == rate


@pytest.mark.parametrize(
    ("precision", "cycles"),
    [("w8a8", 225_792), ("w4a8", 112_896), ("w4a4", 56_448), ("w3a3", 56_448), ("w16a16", 903_168)],
)
def test_a_dense_layer_is_bound_by_the_array(machine: BitFusion, precision: str, cycles: int) -> None:
    cost = machine.cost(DENSE, parse(precision))
    assert cost.cycles == cycles
    assert cost.latency_s == pytest.approx(cycles / 500e6)


def test_few_channels_are_unrolled_over_the_kernel(machine: BitFusion) -> None:
    first = Workload.conv("first", (3, 64), (7, 7), (112, 112), stride=2)
    # Two tiles of 32 outputs; 147 products take ten passes of 16 rows.
    assert compute_cycles(layers(first), pairs("w8a8"), machine.array) == 2 * 112 * 112 * 10


def test_groups_do_not_share_the_array(machine: BitFusion) -> None:
    grouped = Workload.conv("grouped", (64, 64), (3, 3), (14, 14), groups=2)
    # Each group has 32 outputs and 32 channels: one tile, and two passes at each of nine positions.
    assert compute_cycles(layers(grouped), pairs("w8a8"), machine.array) == 2 * 14 * 14 * 9 * 2


@pytest.mark.parametrize(
    ("precision", "rate"),
    [("w8a8", 8), ("w4a8", 16), ("w4a4", 32), ("w2a2", 32), ("w2a8", 16), ("w16a16", 2)],
)
def test_depthwise_layers_reach_their_measured_rate(machine: BitFusion, precision: str, rate: int) -> None:
    cycles = compute_cycles(layers(DEPTHWISE), pairs(precision), machine.array)
    assert cycles == DEPTHWISE.macs // rate


def test_a_matrix_product_with_few_rows_is_bound_by_memory(machine: BitFusion) -> None:
    dense = Workload.gemm("fc", 1, 512, 1000)
    moved = 512 * 8 + 512_000 * 4 + 1000 * 8
    assert dram_bits(layers(dense), pairs("w4a8")) == moved
    assert machine.cost(dense, parse("w4a8")).cycles == -(-moved // 192)


def test_a_computed_right_side_moves_at_activation_width() -> None:
    scores = Workload.matmul("scores", 2, 4, 8, 4)
    assert dram_bits(layers(scores), pairs("w8a4")) == 4 * (2 * 4 * 8 + 2 * 8 * 4 + 2 * 4 * 4)


def test_values_are_stored_at_their_own_width(machine: BitFusion) -> None:
    cost = machine.cost(DENSE, parse("w3a5"))
    assert cost.priced_as == parse("w4a8")
    assert cost.weight_bytes == 36_864 * 3 // 8
    assert cost.bops == DENSE.macs * 15


def test_energy_adds_up_to_its_parts(machine: BitFusion) -> None:
    # One row, one product: every term has one factor that is easy to follow.
    single = Workload.gemm("single", 1, 1, 1)
    cost = machine.cost(single, parse("w8a8"))
    assert cost.cycles == 1
    core, leakage, dram = 0.459, 0.119 * 512, 24 * 15
    fill = 8 * (0.029 + 0.114 + 0.033)
    use = 8 * 0.021 + 8 * 0.060 + 32 * (0.033 + 0.073)
    assert cost.energy_j == pytest.approx((core + leakage + dram + fill + use) * 1e-12)
    assert (cost.on_chip_j, cost.off_chip_j) == pytest.approx(((fill + use) * 1e-12, dram * 1e-12))


def test_the_server_preset_does_not_guess_its_energy() -> None:
    cost = load_target("bitfusion-server").cost(DENSE, parse("w8a8"))
    assert (cost.energy_j, cost.on_chip_j, cost.off_chip_j) == (None, None, None)
    assert cost.latency_s == pytest.approx(225_792 / 980e6)


def test_a_conversion_costs_the_bits_that_it_adds(machine: BitFusion) -> None:
    work = Elementwise.conversion("activation", 12_000)
    wider, narrower = machine.elementwise_cost(work, 4, 8), machine.elementwise_cost(work, 8, 4)
    assert wider.latency_s == pytest.approx(12_000 * 4 / 192 / 500e6)
    assert wider.energy_j == pytest.approx(12_000 * 4 * 15e-12)
    assert narrower.latency_s == narrower.energy_j == 0


def test_wider_than_sixteen_bits_is_refused(machine: BitFusion) -> None:
    with pytest.raises(UnsupportedError, match=r"bitfusion: layer 'dense': .* w17a8"):
        machine.cost(DENSE, parse("w17a8"))


@pytest.mark.needs_data
@pytest.mark.parametrize(
    ("precision", "published", "tolerance"),
    [
        ("w8a8", 3_562_541, 0.001),
        ("w4a8", 1_787_783, 0.001),
        ("w8a4", 1_782_054, 0.001),
        ("w4a4", 907_881, 0.001),
    ],
)
def test_resnet18_meets_the_corrected_public_totals(
    machine: BitFusion, shared_data: Path, precision: str, published: int, tolerance: float
) -> None:
    works = resnet18(shared_data / "fixtures" / "bitfusion_resnet18_layers.csv")
    cost = network_cost(machine, works, [parse(precision)] * len(works))
    assert cost.total.cycles == pytest.approx(published, rel=tolerance)


def resnet18(path: Path) -> list[Workload]:
    """Read the convolutions; the test is skipped where the table is absent."""
    if not path.is_file():
        pytest.skip(f"needs the layer table {path.name}")
    with path.open(encoding="utf-8", newline="") as stream:
        return [convolution(row) for row in csv.DictReader(stream)]


def convolution(row: dict[str, str]) -> Workload:
    kernel, out, stride, inputs, outputs = (
        int(row[key]) for key in ("kernel", "out_size", "stride", "in_ch", "out_ch")
    )
    return Workload.conv(row["layer"], (inputs, outputs), (kernel, kernel), (out, out), stride=stride)


@pytest.mark.needs_data
def test_resnet18_at_two_bits_gains_from_unrolling(machine: BitFusion, shared_data: Path) -> None:
    works = resnet18(shared_data / "fixtures" / "bitfusion_resnet18_layers.csv")
    cycles = network_cost(machine, works, [parse("w2a2")] * len(works)).total.cycles
    # 518,822 is the total when only the first layer is unrolled.
    assert cycles is not None
    assert cycles < 518_822
