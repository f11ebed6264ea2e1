from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwmodels import Precision, SpecError, Workload, load_target
from hwmodels.arrays import LayerArrays, PairArrays
from hwmodels.machines.systolic import Systolic
from hwmodels.machines.systolic_cycles import compute_cycles, packed_filters

DENSE = Workload.conv("dense", (64, 64), (3, 3), (56, 56))


@pytest.fixture(scope="module")
def machine() -> Systolic:
    model = load_target("systolic-32")
    assert isinstance(model, Systolic)
    return model


def cycles(machine: Systolic, work: Workload, precision: str) -> float:
    run = PairArrays.row([Precision.parse(precision)])
    return compute_cycles(LayerArrays.of([work]), run, machine.grid).item()


def test_outputs_that_stay_take_the_depth_and_the_way_through_the_grid(machine: Systolic) -> None:
    # 3136 positions fill 98 folds of 32, 64 filters 2; depth 576.
    assert cycles(machine, DENSE, "w8a8") == 98 * 2 * (576 + 32 + 32 - 2)


def test_weights_that_stay_are_loaded_first(machine: Systolic) -> None:
    stationary = replace(machine, grid=replace(machine.grid, dataflow="weight_stationary"))
    assert cycles(stationary, DENSE, "w8a8") == 18 * 2 * (32 + 3136 + 32 + 32 - 2)


def test_inputs_that_stay_are_passed_by_the_filters(machine: Systolic) -> None:
    stationary = replace(machine, grid=replace(machine.grid, dataflow="input_stationary"))
    assert cycles(stationary, DENSE, "w8a8") == 18 * 98 * (32 + 64 + 32 + 32 - 2)


@pytest.mark.parametrize(("bits", "filters"), [(8, 64), (4, 33), (3, 22), (2, 17)])
def test_narrow_filters_share_one(bits: int, filters: int) -> None:
    assert packed_filters(np.array([64.0]), np.array([float(bits)])) == filters


def test_a_single_filter_stays_one() -> None:
    assert packed_filters(np.array([1.0]), np.array([2.0])) == 1


def test_widths_between_four_and_eight_lie_on_a_line(machine: Systolic) -> None:
    wide = Workload.conv("wide", (64, 256), (3, 3), (56, 56))
    found = [cycles(machine, wide, f"w{bits}a8") for bits in (4, 5, 6, 7, 8)]
    # 256 filters take 8 folds, 129 take 5.
    assert found[0] / found[-1] == 5 / 8
    assert np.allclose(np.diff(found), (found[-1] - found[0]) / 4)


def test_activations_gain_nothing_in_the_grid(machine: Systolic) -> None:
    assert cycles(machine, DENSE, "w8a2") == cycles(machine, DENSE, "w8a8")


def test_a_depthwise_layer_is_a_product_per_channel(machine: Systolic) -> None:
    depthwise = Workload.conv("depthwise", (96, 96), (3, 3), (28, 28), groups=96)
    assert cycles(machine, depthwise, "w8a8") == 96 * 25 * (9 + 62)


def test_a_single_row_is_bound_by_memory(machine: Systolic) -> None:
    work = Workload.gemm("fc", 1, 512, 1000)
    seconds = (512 + 512_000 * 0.5 + 1000) / 2e9
    assert machine.cost(work, Precision(4, 8)).latency_s == pytest.approx(seconds)


def test_an_unknown_dataflow_is_refused(tmp_path: Path, repository: Path) -> None:
    text = (repository / "hwmodels" / "specs" / "eyeriss.toml").read_text()
    path = tmp_path / "odd.toml"
    path.write_text(text.replace('"weight_stationary"', '"row_stationary"'))
    with pytest.raises(SpecError, match=r"odd\.toml: \[array\] dataflow: .* found 'row_stationary'"):
        load_target(str(path))
