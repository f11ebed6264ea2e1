from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodels.arrays import LayerArrays
from hwmodels.machines.tiles import Tile
from hwmodels.workload import Workload

TILE = Tile(rows=6, columns=16, depth_bytes=4, source="by hand")


def padded(work: Workload) -> float:
    return float(TILE.padded_macs(LayerArrays.of([work]))[0, 0])


def test_a_layer_that_fills_its_blocks_is_not_padded() -> None:
    work = Workload.gemm("full", 12, 8, 32)
    assert padded(work) == work.macs


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        # 7 rows fill two blocks of 6, 17 columns two of 16, a depth of 5 two of 4.
        (Workload.gemm("ragged", 7, 5, 17), 12 * 8 * 32),
        (Workload.gemm("vector", 1, 5, 17), 8 * 32),
        # Each of 4 groups: 25 rows in five blocks, 2 columns in one, 2 channels of 9 taps in five of 4.
        (Workload.conv("grouped", (8, 8), (3, 3), (5, 5), groups=4), 4 * 30 * 16 * 20),
        # Every input position makes 2 outputs of 4 taps.
        (Workload.conv_transpose("transposed", (4, 2), (2, 2), (6,), stride=2), 6 * 16 * 4),
        # Ten steps of three sequences each: 3 rows fill a block of 6.
        (Workload.recurrent("gates", (4, 4), gates=4, steps=10, batch=3), 10 * 6 * 16 * 8),
        (Workload.recurrent("one sequence", (4, 4), gates=4, steps=10), 10 * 16 * 8),
        # Five products of 7 x 4 by 4 x 7, each padded on its own.
        (Workload.matmul("scores", 5, 7, 4, 7), 5 * 12 * 16 * 4),
    ],
    ids=lambda value: value.name if isinstance(value, Workload) else "",
)
def test_every_product_is_padded_on_its_own(work: Workload, expected: int) -> None:
    assert padded(work) == expected


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_padding_adds_less_than_a_block_on_every_side(rows: int, inner: int, columns: int) -> None:
    work = Workload.gemm("any", rows, inner, columns)
    assert work.macs <= padded(work) <= (rows + 5) * (inner + 3) * (columns + 15)
