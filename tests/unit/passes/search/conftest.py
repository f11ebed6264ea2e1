from __future__ import annotations

import sys
from pathlib import Path

import pytest

from passes.allocation import AllocationProblem
from passes.search.task import SearchTask

sys.path[:0] = [str(Path(__file__).parent)]

from made_problem import Stub, make_problem  # noqa: E402


@pytest.fixture
def problem() -> AllocationProblem:
    """See `make_problem`."""
    return make_problem()


@pytest.fixture
def task(problem: AllocationProblem) -> SearchTask:
    """Loss against latency."""
    return SearchTask(problem, ("loss", "latency_s"), samples=100, loss_reference=0.5)


@pytest.fixture
def stub(problem: AllocationProblem) -> Stub:
    """A fresh measurer."""
    return Stub(problem)
