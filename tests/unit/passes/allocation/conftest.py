from __future__ import annotations

import pytest

from passes.allocation import AllocationProblem, Choice, LayerChoices


@pytest.fixture
def two_layers() -> AllocationProblem:
    """Two layers at 4 or 8 bits; latencies 1 or 3 and 2 or 5, bytes 10 or 20 each."""
    return AllocationProblem(
        "two",
        (
            LayerChoices(
                "a",
                (
                    Choice(4, 4, 5.0, {"latency_s": 1.0, "bytes": 10.0}),
                    Choice(8, 8, 1.0, {"latency_s": 3.0, "bytes": 20.0}),
                ),
            ),
            LayerChoices(
                "b",
                (
                    Choice(4, 4, 9.0, {"latency_s": 2.0, "bytes": 10.0}),
                    Choice(8, 8, 2.0, {"latency_s": 5.0, "bytes": 20.0}),
                ),
            ),
        ),
    )
