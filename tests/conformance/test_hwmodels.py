"""Every built-in machine keeps the promises of the protocol, and BitFusion meets its public table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from hwmodels import Precision, Workload, load_target
from hwmodels.registry import BUILTIN
from hwmodels.testing import check_hardware_model


@pytest.mark.parametrize("name", BUILTIN)
def test_a_built_in_machine_conforms(name: str) -> None:
    check_hardware_model(load_target(name))


@pytest.mark.needs_data
def test_dense_layers_at_eight_bits_meet_the_public_cycle_table(shared_data: Path) -> None:
    """These layers are bound by the array, where the table has neither of its known artefacts."""
    path = shared_data / "fixtures" / "bitfusion_resnet18_cycles.csv"
    if not path.is_file():
        pytest.skip(f"needs the cycle table {path.name}")
    model = load_target("bitfusion")
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [{key: int(value) for key, value in row.items()} for row in csv.DictReader(stream)]
    dense = [row for row in rows if row["kernel"] == 3 and row["weight_bits"] == row["act_bits"] == 8]
    ratios = [(model.cost(convolution(row), Precision(8, 8)).cycles or 0) / row["cycles"] for row in dense]
    assert len(ratios) == 7
    assert all(0.98 < ratio <= 1 for ratio in ratios)


def convolution(row: dict[str, int]) -> Workload:
    kernel, out = (row["kernel"],) * 2, (row["out_size"],) * 2
    return Workload.conv("layer", (row["in_ch"], row["out_ch"]), kernel, out, stride=row["stride"])
