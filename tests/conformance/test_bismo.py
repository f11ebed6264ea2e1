"""The closed form of `bismo-cloud` against the table of cycles that HAQ published for MobileNetV2."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from hwmodels import Precision, Workload, load_target, network_cost
from hwmodels.network import price_table
from hwmodels.types import Metric

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, repeats and stride: table 2 of the MobileNetV2 paper."""


def mobilenet_v2(batch: int) -> list[Workload]:
    """Return the 53 layers in the order of the table."""
    works = [Workload.conv("first", (3, 32), (3, 3), (112, 112), stride=2, batch=batch)]
    size, inputs = 112, 32
    for expansion, outputs, repeats, first_stride in STAGES:
        for at in range(repeats):
            stride, wide = (first_stride if at == 0 else 1), inputs * expansion
            if expansion > 1:
                works.append(pointwise((inputs, wide), size, batch))
            size //= stride
            works.append(
                Workload.conv(
                    "dw", (wide, wide), (3, 3), (size, size), stride=stride, batch=batch, groups=wide
                )
            )
            works.append(pointwise((wide, outputs), size, batch))
            inputs = outputs
    return [*works, pointwise((320, 1280), 7, batch), Workload.gemm("classifier", batch, 1280, 1000)]


def pointwise(channels: tuple[int, int], size: int, batch: int) -> Workload:
    return Workload.conv("pw", channels, (1, 1), (size, size), batch=batch)


@pytest.fixture(scope="module")
def tables(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    path = shared_data / "fixtures" / "haq_mobilenetv2_bismo_cloud_cycles.npy"
    if not path.is_file():
        pytest.skip(f"needs the table {path.name}")
    pairs = [Precision(*pair) for pair in product(range(1, 9), repeat=2)]
    seconds = price_table(load_target("bismo-cloud"), mobilenet_v2(batch=16), pairs)[Metric.LATENCY]
    return seconds.reshape(53, 8, 8) * 200e6, np.load(path).astype(float)


@pytest.mark.needs_data
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_totals_are_within_four_percent(tables: tuple[np.ndarray, np.ndarray], bits: int) -> None:
    found, published = (table[:, bits - 1, bits - 1].sum() for table in tables)
    assert found == pytest.approx(published, rel=0.04)


@pytest.mark.needs_data
def test_all_entries_correlate(tables: tuple[np.ndarray, np.ndarray]) -> None:
    found, published = (np.log(table).ravel() for table in tables)
    assert found.size == 3392
    residual = ((found - published) ** 2).sum() / ((published - published.mean()) ** 2).sum()
    assert 1 - residual >= 0.975


@pytest.mark.needs_data
def test_the_machine_file_states_its_errors(tables: tuple[np.ndarray, np.ndarray]) -> None:
    found, published = tables
    totals = [found[:, at, at].sum() / published[:, at, at].sum() - 1 for at in (7, 3, 1)]
    assert [f"{error:.1%}" for error in totals] == ["-1.8%", "-1.9%", "-1.9%"]
    assert f"{np.median(abs(found / published - 1)):.1%}" == "2.6%"


def test_the_edge_states_how_far_it_is_from_the_quoted_time() -> None:
    works = mobilenet_v2(batch=1)
    total = network_cost(load_target("bismo-edge"), works, [Precision(8, 8)] * len(works)).total
    assert f"{115.84e-3 / (total.latency_s or 1):.1f}" == "2.5"
