"""The simulated BitFusion against the public cycle table of ResNet-18 and the totals of other networks."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable
from pathlib import Path

import pytest

from hwmodels import HardwareModel, Precision, Workload, load_target, network_cost

Sizes = tuple[int, int, int, int, int]
"""Kernel, output size, stride, input and output channels."""

VGG11 = (
    (3, 224, 1, 3, 64),
    (3, 112, 1, 64, 128),
    (3, 56, 1, 128, 256),
    (3, 56, 1, 256, 256),
    (3, 28, 1, 256, 512),
    (3, 28, 1, 512, 512),
    (3, 14, 1, 512, 512),
    (3, 14, 1, 512, 512),
)


def resnet(blocks: tuple[int, ...], *, bottleneck: bool) -> Iterable[Sizes]:
    """Yield the convolutions of an ImageNet ResNet that strides in its 3 x 3 layers."""
    yield 7, 112, 2, 3, 64
    channels = 64
    for stage, count in enumerate(blocks):
        width, size = 64 << stage, 56 >> stage
        outputs = 4 * width if bottleneck else width
        for block in range(count):
            stride = 2 if stage and not block else 1
            if bottleneck:
                yield 1, size * stride, 1, channels, width
                yield 3, size, stride, width, width
                yield 1, size, 1, width, outputs
            else:
                yield 3, size, stride, channels, width
                yield 3, size, 1, width, width
            if channels != outputs:
                yield 1, size, stride, channels, outputs
            channels = outputs


NETWORKS = {
    "ResNet-18": tuple(resnet((2, 2, 2, 2), bottleneck=False)),
    "ResNet-34": tuple(resnet((3, 4, 6, 3), bottleneck=False)),
    "ResNet-50": tuple(resnet((3, 4, 6, 3), bottleneck=True)),
    "VGG-11": VGG11,
}
PAIRS = ("w8a8", "w4a8", "w8a4", "w4a4", "w2a2")
PUBLISHED = {
    "ResNet-18": (4_587_074, 2_961_357, 3_039_884, 2_341_932, 1_984_588),
    "ResNet-34": (8_213_226, 4_788_983, 4_965_598, 3_467_892, 2_633_750),
    "ResNet-50": (10_035_421, 7_088_090, 7_264_176, 6_011_406, 5_162_831),
    "VGG-11": (15_536_603, 8_313_159, 8_403_138, 4_996_014, 3_250_684),
}


@pytest.fixture(scope="module")
def machine() -> HardwareModel:
    return load_target("bitfusion-sim")


def convolution(sizes: Sizes) -> Workload:
    kernel, out, stride, inputs, outputs = sizes
    return Workload.conv("layer", (inputs, outputs), (kernel, kernel), (out, out), stride=stride)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("pair", PAIRS)
def test_networks_meet_the_totals_of_the_public_table(
    machine: HardwareModel, network: str, pair: str
) -> None:
    works = [convolution(sizes) for sizes in NETWORKS[network]]
    found = network_cost(machine, works, [Precision.parse(pair)] * len(works)).total.cycles
    assert found == pytest.approx(PUBLISHED[network][PAIRS.index(pair)], rel=0.0006)


@pytest.mark.needs_data
def test_every_layer_and_pair_of_resnet18_meets_the_public_table(
    machine: HardwareModel, shared_data: Path
) -> None:
    rows = cycle_table(shared_data)
    errors = [abs(simulated(machine, row) / row["cycles"] - 1) for row in rows]
    assert len(errors) == 539
    assert statistics.median(errors) < 1e-4
    assert max(errors) < 0.013


@pytest.mark.needs_data
def test_only_where_the_table_falls_with_more_bits_do_more_than_two_cycles_differ(
    machine: HardwareModel, shared_data: Path
) -> None:
    rows = cycle_table(shared_data)
    for row in rows:
        wider = [other["cycles"] for other in rows if covers(other, row)]
        assert min(wider) - 2 <= simulated(machine, row) <= min(wider)


def cycle_table(shared_data: Path) -> list[dict[str, int]]:
    path = shared_data / "fixtures" / "bitfusion_resnet18_cycles.csv"
    if not path.is_file():
        pytest.skip(f"needs the cycle table {path.name}")
    with path.open(encoding="utf-8", newline="") as stream:
        return [{key: int(value) for key, value in row.items()} for row in csv.DictReader(stream)]


def simulated(machine: HardwareModel, row: dict[str, int]) -> float:
    work = convolution(sizes_of(row))
    return machine.cost(work, Precision(row["weight_bits"], row["act_bits"])).cycles or 0


def sizes_of(row: dict[str, int]) -> Sizes:
    return row["kernel"], row["out_size"], row["stride"], row["in_ch"], row["out_ch"]


def covers(wide: dict[str, int], narrow: dict[str, int]) -> bool:
    same = sizes_of(wide) == sizes_of(narrow)
    return same and all(wide[key] >= narrow[key] for key in ("weight_bits", "act_bits"))
