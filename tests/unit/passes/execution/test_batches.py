"""Batches stay in memory while they fit, and are read again where they do not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from passes.execution.batches import Batches
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.sources import ArraySource

BYTES = 3 * 2 * 4


class Counting:
    """Three batches of two float32, and how often they were read."""

    def __init__(self) -> None:
        self.reads = 0

    def batches(self, size: int, limit: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        self.reads += 1
        assert (size, limit) == (2, 6)
        yield from ({"x": np.full(2, index, np.float32)} for index in range(3))


@pytest.mark.parametrize(("budget", "reads"), [(BYTES, 1), (BYTES - 1, 3), (0, 3)])
def test_the_budget_decides_how_often_data_are_read(budget: int, reads: int) -> None:
    source = Counting()
    batches = Batches(source, 2, 6, budget)  # type: ignore[arg-type]
    passes = [[int(feeds["x"][0]) for feeds in batches] for _ in range(3)]
    assert passes == [[0, 1, 2]] * 3
    assert source.reads == reads


@pytest.mark.parametrize(
    ("count", "size", "samples", "firsts"),
    [(10, 2, 4, [0, 4]), (10, 2, 100, [0, 2, 4, 6, 8]), (3, 8, 1, [0]), (9, 2, 1, [0]), (9, 4, 8, [0, 4])],
)
def test_spread_samples_cover_the_set(count: int, size: int, samples: int, firsts: list[int]) -> None:
    x = np.arange(count, dtype=np.float32)[:, None]
    spec = InputSpec("x", (None, 1), np.dtype(np.float32))
    data = Dataset(ArraySource(("x",), count, None, {"x": x}), (spec,), ("x",), None, count, "test")
    batches = list(data.spread(size, samples))
    assert [int(feeds["x"][0, 0]) for feeds in batches] == firsts
    assert all(len(feeds["x"]) == min(size, count) for feeds in batches)
