"""HAQ's published table of cycles as a lookup target: a machine file beside a copy of the table."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from hwmodels import HardwareModel, Precision, Workload, load_target, network_cost

LAYERS = [f"layer{at}" for at in range(53)]
SPEC = """
[machine]
name = "bismo-cloud-table"
architecture = "lookup"
description = "HAQ's table for MobileNetV2, 16 images"

[arithmetic]
weight_bits = [1, 2, 3, 4, 5, 6, 7, 8]
act_bits = [1, 2, 3, 4, 5, 6, 7, 8]
accumulator_bits = 32
rounding = "half_even"
source = "mit-han-lab/haq"

[lookup]
table = "cycles.npy"
by = "name"
unit = "cycles"
clock_hz = 200e6
source = "mit-han-lab/haq, lib/simulator/lookup_tables; clock assumed"
"""


@pytest.fixture
def model(shared_data: Path, tmp_path: Path) -> HardwareModel:
    table = shared_data / "fixtures" / "haq_mobilenetv2_bismo_cloud_cycles.npy"
    if not table.is_file():
        pytest.skip(f"needs the table {table.name}")
    shutil.copy(table, tmp_path / "cycles.npy")
    path = tmp_path / "table.toml"
    path.write_text(SPEC + f"layers = {LAYERS}\n")
    return load_target(str(path))


@pytest.mark.needs_data
def test_the_sum_at_eight_bits_is_that_of_the_table(model: HardwareModel) -> None:
    works = [Workload.gemm(name, 1, 1, 1) for name in LAYERS]
    total = network_cost(model, works, [Precision(8, 8)] * 53).total
    assert total.cycles == pytest.approx(39_624_933, abs=0.01)
    assert total.latency_s == pytest.approx(39_624_933 / 200e6)


@pytest.mark.needs_data
def test_weight_bits_come_before_activation_bits(model: HardwareModel) -> None:
    first = Workload.gemm("layer0", 1, 1, 1)
    found = [model.cost(first, Precision(*pair)).cycles for pair in ((4, 8), (8, 4))]
    assert found == pytest.approx([1_611_904, 815_296])


@pytest.fixture
def benchmark(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("haq_table", repository / "benchmarks" / "haq_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.needs_data
def test_a_policy_with_more_bits_in_every_layer_meets_the_budget(
    benchmark: ModuleType, shared_data: Path
) -> None:
    cycles, policy = benchmark.read_table(shared_data)
    result = benchmark.compare(cycles, policy)
    assert result["status"] == "optimal"
    pairs = result["found_policy"]
    assert all(new[side] >= old[side] for new, old in zip(pairs, policy, strict=True) for side in (0, 1))
    spent = sum(int(table[w - 1, a - 1]) for table, (w, a) in zip(cycles, pairs, strict=True))
    assert spent <= 0.600 * 39_624_933
    assert sum(map(sum, pairs)) - sum(map(sum, policy)) == 50
