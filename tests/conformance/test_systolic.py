"""Cycles of the systolic array against reports of SCALE-Sim in RamorayDrake/AMED (MIT licence)."""

from __future__ import annotations

import pytest

from hwmodels import Precision, Workload, load_target
from hwmodels.arrays import LayerArrays, PairArrays
from hwmodels.systolic import Systolic
from hwmodels.systolic_cycles import compute_cycles

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
