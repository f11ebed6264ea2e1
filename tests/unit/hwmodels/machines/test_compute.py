from __future__ import annotations

from pathlib import Path

import pytest

from hwmodels import SpecError, load_target
from hwmodels.arrays import LayerArrays, PairArrays
from hwmodels.machines.compute import Compute
from hwmodels.types import Precision
from hwmodels.workload import Workload

COMPUTE = Compute(("w4a8", "w8a8"), (4.0, 2.0), (1.0, 0.5), 1e6, "by hand")
DENSE = Workload.gemm("dense", 1, 10, 10)
DEPTHWISE = Workload.conv("depthwise", (2, 2), (1,), (4,), groups=2)

SPEC = """
[machine]
name = "small"
architecture = "microcontroller"
description = "a test"

[arithmetic]
pairs = ["w4a8", "w8a8"]
accumulator_bits = 32
rounding = "half_even"
source = "by hand"

[compute]
pairs = ["w4a8", "w8a8"]
macs_per_cycle = [4, 2]
depthwise_macs_per_cycle = [1, 0.5]
clock_hz = 1e6
source = "by hand"
"""


def test_each_pair_has_its_own_rate_for_either_kind_of_layer() -> None:
    layers = LayerArrays.of([DENSE, DEPTHWISE])
    pairs = PairArrays.row([Precision(4, 8), Precision(8, 8)])
    cycles = COMPUTE.cycles(layers, pairs, layers.macs)
    # 100 MACs at 4 and 2 per cycle; 8 MACs at 1 and 0.5 per cycle.
    assert cycles.tolist() == [[25, 50], [8, 16]]


def test_padding_concerns_dense_layers_only() -> None:
    layers = LayerArrays.of([DENSE, DEPTHWISE])
    cycles = COMPUTE.cycles(layers, PairArrays.row([Precision(8, 8)]), layers.macs * 10)
    assert cycles.tolist() == [[500], [16]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('[compute]\npairs = ["w4a8", "w8a8"]', '[compute]\npairs = ["w8a8"]', "the pairs of .arithmetic."),
        ("macs_per_cycle = [4, 2]\ndepth", "macs_per_cycle = [4]\ndepth", "macs_per_cycle: expected 2 rates"),
        ("depthwise_macs_per_cycle = [1, 0.5]", "depthwise_macs_per_cycle = [1, 1, 1]", "found 3"),
        ("clock_hz = 1e6", "clock_hz = 0", "clock_hz: expected a number from"),
        ("clock_hz = 1e6\n", "", "clock_hz: expected this key"),
    ],
)
def test_a_table_that_lies_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SPEC
    path = tmp_path / "small.toml"
    path.write_text(SPEC.replace(old, new), encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        load_target(str(path))


def test_the_table_that_is_right_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SPEC, encoding="utf-8")
    assert load_target(str(path)).cost(DENSE, Precision(3, 5)).latency_s == pytest.approx(25e-6)
