"""Measured machines: which kernel runs a layer, what is counted, and prices worked out by hand."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hwmodels import (
    Elementwise,
    HardwareModel,
    Metric,
    Precision,
    SpecError,
    UnsupportedError,
    Workload,
    load_target,
)
from hwmodels.arrays import LayerArrays
from hwmodels.machines.measured_features import FEATURES, KERNELS, features, kernel_of
from hwmodels.machines.measured_operators import OPERATORS, operator_table

FLOAT, INTEGER = Precision(32, 32), Precision(8, 8)

HEAD = """
[machine]
name = "mine"
architecture = "measured"
description = "made up"

[arithmetic]
pairs = ["w8a8", "w32a32"]
gemm_pairs = ["w4a32", "w8a8", "w32a32"]
unsupported_kinds = ["ConvTranspose", "Recurrent"]
accumulator_bits = 32
rounding = "half_even"
source = "made up"
"""


def machine_text(**rates: str) -> str:
    """A machine whose tables are empty but for the given ones."""
    pairs = {"gemm": ("w4a32", "w8a8", "w32a32")}
    names = [f"{kernel}_{pair}" for kernel in KERNELS for pair in pairs.get(kernel, ("w8a8", "w32a32"))]
    names += [operator_table(op, bits) for op in OPERATORS for bits in (8, 32)]
    names += ["quantizelinear_8bit", "dequantizelinear_8bit"]
    tables = (f'[{name}]\n{rates.get(name, "")}\nsource = "made up"' for name in names)
    return "\n".join((HEAD, *tables))


@pytest.fixture
def machine(tmp_path: Path) -> HardwareModel:
    """A machine with round numbers."""
    path = tmp_path / "mine.toml"
    path.write_text(
        machine_text(
            dense_w8a8="per_layer_s = 1e-6\nper_mac_s = 1e-9\nper_weight_s = 1e-8",
            dense_w32a32="per_mac_s = 2e-9",
            gemm_w4a32="per_weight_s = 1e-6",
            add_8bit="per_step_s = 1e-6\nper_input_s = 1e-9\nper_output_s = 2e-9",
            maxpool_32bit="per_step_s = 5e-6",
            quantizelinear_8bit="per_input_s = 3e-9",
            dequantizelinear_8bit="per_output_s = 4e-9",
        )
    )
    return load_target(str(path))


@pytest.mark.parametrize(
    ("work", "kernel"),
    [
        (Workload.conv("c", (3, 64), (7, 7), (112, 112), stride=2), "shallow"),
        (Workload.conv("c", (4, 64), (3, 3), (8, 8)), "shallow"),
        (Workload.conv("c", (5, 64), (3, 3), (8, 8)), "dense"),
        (Workload.conv("c", (3, 64), (1, 1), (8, 8)), "pointwise"),
        (Workload.conv("c", (64, 64), (3, 3), (8, 8), groups=64), "depthwise"),
        (Workload.conv("c", (64, 64), (3, 3), (8, 8), groups=4), "grouped"),
        (Workload.gemm("g", 1, 8, 8), "gemm"),
        (Workload.matmul("m", 2, 4, 8, 4), "product"),
    ],
)
def test_kernels(work: Workload, kernel: str) -> None:
    assert kernel_of(work) == kernel


def counts(work: Workload) -> dict[str, float]:
    """What is counted of one layer."""
    return dict(zip(FEATURES, features(LayerArrays.of([work]))[:, 0, 0].tolist(), strict=True))


def test_counts_of_a_convolution() -> None:
    # 25 positions, 8 * 9 products deep, 20 columns: of the 20 lanes 4 are beyond a full round of 16.
    macs = 25 * 72 * 20
    assert counts(Workload.conv("c", (8, 20), (3, 3), (5, 5))) == {
        "per_layer_s": 1,
        "per_group_s": 1,
        "per_row_s": 25,
        "per_column_s": 20,
        "per_mac_s": macs,
        "per_padded_mac_s": 25 * 72 * 32,
        "per_ragged_mac_s": 25 * 72 * 4,
        "per_input_s": 200,
        "per_gathered_s": 25 * 72,
        "per_weight_s": 72 * 20,
        "per_output_s": 500,
    }


def test_lanes_of_a_depthwise_convolution_are_its_groups() -> None:
    found = counts(Workload.conv("d", (24, 24), (3, 3), (2, 2), groups=24))
    assert (found["per_mac_s"], found["per_padded_mac_s"]) == (24 * 4 * 9, 32 * 4 * 9)
    assert found["per_ragged_mac_s"] == 8 * 4 * 9


def test_products_of_computed_operands_are_groups() -> None:
    found = counts(Workload.matmul("m", 3, 4, 8, 16))
    assert (found["per_group_s"], found["per_row_s"], found["per_mac_s"]) == (3, 12, 3 * 4 * 8 * 16)
    assert found["per_weight_s"] == 3 * 8 * 16


def test_price_of_a_layer(machine: HardwareModel) -> None:
    # 4 positions, 8 * 9 deep, 16 columns: 4,608 MACs and 1,152 weights.
    work = Workload.conv("c", (8, 16), (3, 3), (2, 2))
    assert machine.cost(work, INTEGER).latency_s == pytest.approx(1e-6 + 4608e-9 + 1152e-8)
    assert machine.cost(work, FLOAT).latency_s == pytest.approx(2 * 4608e-9)


def test_other_pairs_round_up_to_measured_ones(machine: HardwareModel) -> None:
    conv, gemm = Workload.conv("c", (8, 16), (3, 3), (2, 2)), Workload.gemm("g", 1, 10, 10)
    assert machine.cost(conv, Precision(4, 8)).priced_as == INTEGER
    assert machine.cost(conv, Precision(4, 16)).priced_as == FLOAT
    assert machine.cost(gemm, Precision(3, 16)).priced_as == Precision(4, 32)
    assert machine.cost(gemm, Precision(3, 16)).latency_s == pytest.approx(100e-6)


def test_many_layers_are_priced_like_each_alone(machine: HardwareModel) -> None:
    works = [Workload.conv("c", (8, 16), (3, 3), (2, 2)), Workload.gemm("g", 1, 10, 10)]
    pairs = [INTEGER, Precision(4, 32)]
    together = machine.costs(works, pairs)  # type: ignore[attr-defined]
    assert together == tuple(machine.cost(*each) for each in zip(works, pairs, strict=True))


def test_operators_and_conversions(machine: HardwareModel) -> None:
    def price(work: Elementwise, in_bits: int, out_bits: int) -> float:
        return machine.elementwise_cost(work, in_bits, out_bits).latency_s  # type: ignore[attr-defined]

    add, convert = Elementwise("a", "Add", 200, 100), Elementwise.conversion("t", 100)
    assert price(add, 8, 8) == pytest.approx(1e-6 + 200e-9 + 200e-9)
    assert price(Elementwise("m", "Mul", 200, 100), 8, 8) == price(add, 8, 8)
    # At 32 bits Add has no numbers: it is fused.
    assert price(add, 32, 32) == 0
    assert price(Elementwise("p", "MaxPool", 100, 25), 8, 32) == pytest.approx(5e-6 + 100e-9)
    assert price(convert, 8, 8) == 0
    assert price(convert, 32, 8) == pytest.approx(300e-9)
    assert price(convert, 8, 32) == pytest.approx(400e-9)
    assert price(convert, 4, 8) == pytest.approx(700e-9)


def test_kinds_that_were_not_measured_do_not_run(machine: HardwareModel) -> None:
    with pytest.raises(UnsupportedError, match="Recurrent"):
        machine.precisions(Workload.recurrent("r", (8, 8), gates=3, steps=4))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[dense_w8a8]", "[dense_w7a7]", "dense_w7a7"),
        ('[gemm_w4a32]\n\nsource = "made up"', "", "gemm_w4a32"),
        ("[dense_w8a8]\n", "[dense_w8a8]\nper_mac_s = -1\n", "per_mac_s"),
        ("[dense_w8a8]\n", "[dense_w8a8]\nper_byte_s = 1\n", "per_byte_s"),
    ],
)
def test_a_file_that_lies_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(machine_text().replace(old, new))
    with pytest.raises(SpecError, match=message):
        load_target(str(path))


def test_ten_thousand_layers_are_priced_together(machine: HardwareModel) -> None:
    works = [Workload.conv("c", (8 + at % 64, 16), (3, 3), (2, 2)) for at in range(10_000)]
    pairs = [Precision(weight, act) for weight in range(2, 9) for act in range(2, 9)]
    start = time.perf_counter()
    for at in range(200):
        machine.cost(works[at], pairs[0])
    middle = time.perf_counter()
    table = machine.prices(works, pairs)[Metric.LATENCY]  # type: ignore[attr-defined]
    # One by one, the 490,000 prices would take 2,450 times as long as those 200.
    assert time.perf_counter() - middle < 100 * (middle - start)
    assert table[0, 0] == machine.cost(works[0], pairs[0]).latency_s
