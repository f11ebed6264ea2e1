"""Cycles of the systolic array against reports of SCALE-Sim in RamorayDrake/AMED (MIT licence)."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from hwmodels import Precision, Workload, load_target, network_cost
from hwmodels.arrays import LayerArrays, PairArrays
from hwmodels.machines.systolic import Systolic
from hwmodels.machines.systolic_cycles import compute_cycles

FIRST = Workload.conv("ResNet-18, layer 0", (3, 64), (7, 7), (110, 110), stride=2)
SECOND = Workload.conv("ResNet-18, layer 1", (64, 64), (3, 3), (54, 54))
LAST = Workload.conv("ResNet-18, layer 20", (512, 1000), (1, 1), (1, 1))
EXPANSION = Workload.conv("MobileNetV2, layer 3", (16, 96), (1, 1), (112, 112))
"""Sizes as in the reports, which leave padding out."""


@pytest.mark.parametrize(
    ("work", "bits", "reported"),
    [
        (FIRST, 8, 158_421),
        (FIRST, 4, 158_421),
        (FIRST, 3, 79_210),
        (SECOND, 8, 117_391),
        (SECOND, 4, 117_391),
        (SECOND, 3, 58_695),
        (LAST, 8, 18_367),
        (EXPANSION, 8, 91_727),
        (EXPANSION, 4, 61_151),
        (EXPANSION, 3, 61_151),
        (EXPANSION, 2, 30_575),
    ],
)
def test_cycles_equal_the_reports(work: Workload, bits: int, reported: int) -> None:
    """The simulator numbers cycles from 0 and reports the last one."""
    model = load_target("systolic-32")
    assert isinstance(model, Systolic)
    run = PairArrays.row([Precision(bits, bits)])
    assert compute_cycles(LayerArrays.of([work]), run, model.grid).item() - 1 == reported


@pytest.mark.needs_data
def test_the_machine_file_states_the_times_that_differ_from_those_of_amed(shared_data: Path) -> None:
    path = shared_data / "fixtures" / "bitfusion_resnet18_layers.csv"
    if not path.is_file():
        pytest.skip(f"needs the layer table {path.name}")
    with path.open(encoding="utf-8", newline="") as stream:
        works = [convolution(row) for row in csv.DictReader(stream)]
    model = load_target("systolic-32")
    totals = [network_cost(model, works, [Precision(bits, bits)] * 20).total for bits in (8, 4, 3, 2)]
    assert [f"{(total.latency_s or 0) * 1e3:.1f}" for total in totals] == ["13.4", "8.7", "5.3", "4.8"]


def convolution(row: dict[str, str]) -> Workload:
    kernel, out, stride, inputs, outputs = (
        int(row[key]) for key in ("kernel", "out_size", "stride", "in_ch", "out_ch")
    )
    return Workload.conv(row["layer"], (inputs, outputs), (kernel, kernel), (out, out), stride=stride)
