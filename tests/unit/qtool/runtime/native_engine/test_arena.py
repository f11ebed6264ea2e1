"""Memory of tensors: lives, gaps and alignment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passes.errors import ArtifactError
from qtool.runtime.native_engine.arena import ALIGN, Life, allocate, place


def test_tensors_that_never_meet_share_bytes() -> None:
    offsets, size = place({"a": Life(100, 0, 1), "b": Life(64, 1, 2), "c": Life(100, 2, 3)})
    assert offsets == {"a": 0, "c": 0, "b": 128}
    assert size == 192


def test_the_smallest_gap_that_fits_is_taken() -> None:
    lives = {
        "bottom": Life(64 * 9, 0, 9),
        "wide": Life(64 * 5, 0, 4),
        "middle": Life(64 * 4, 0, 9),
        "narrow": Life(64 * 3, 0, 4),
        "top": Life(64 * 3, 0, 9),
        "new": Life(64 * 3 - 7, 5, 6),
    }
    offsets, _ = place(lives)
    assert offsets["new"] == offsets["narrow"]


def test_memory_begins_on_a_cache_line() -> None:
    assert all(allocate(size).ctypes.data % ALIGN == 0 for size in (1, 63, 1000))


@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 9), st.integers(0, 9)).map(
            lambda life: Life(life[0], min(life[1:]), max(life[1:]))
        ),
        max_size=12,
    )
)
def test_living_tensors_never_overlap(lives: list[Life]) -> None:
    named = {str(index): life for index, life in enumerate(lives)}
    offsets, size = place(named)
    for step in range(10):
        used = np.zeros(size, int)
        for name, life in named.items():
            assert offsets[name] % ALIGN == 0
            if life.born <= step <= life.dies:
                used[offsets[name] : offsets[name] + life.size] += 1
        assert used.max(initial=0) <= 1


def test_more_memory_than_there_is_is_refused() -> None:
    with pytest.raises(ArtifactError, match="smaller batches"):
        allocate(1 << 60)
