"""The grid covers every table, is the same in every run, and holds no giants."""

from __future__ import annotations

from hwmodels import Workload
from hwmodels.machines.measured_features import KERNELS
from hwmodels.machines.measured_operators import OPERATORS, operator_table
from qtool.probe.grid import MAX_MACS, grid
from qtool.probe.tables import table_of


def test_every_table_has_points() -> None:
    tables = {table_of(point) for point in grid(2)}
    wanted = {f"{kernel}_{pair}" for kernel in KERNELS for pair in ("w8a8", "w32a32")}
    wanted |= {f"gemm_w{bits}a32" for bits in (2, 4, 8)}
    wanted |= {operator_table(op, bits) for op in OPERATORS for bits in (8, 32)}
    assert tables == wanted | {"quantizelinear_8bit", "dequantizelinear_8bit"}


def test_the_grid_is_the_same_in_every_run_and_grows() -> None:
    assert grid(4) == grid(4)
    assert set(grid(4)) < set(grid(8))
    assert len({point.key for point in grid(8)}) == len(grid(8))


def test_layers_are_neither_giants_nor_alike() -> None:
    works = [point.shape.work for point in grid(16)]
    macs = [work.macs for work in works if isinstance(work, Workload)]
    assert max(macs) <= MAX_MACS
    assert max(macs) > 1000 * min(macs)
