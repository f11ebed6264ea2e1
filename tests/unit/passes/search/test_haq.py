from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_problem import Stub

from passes.errors import UsageError
from passes.search.driver import Limits, search
from passes.search.haq import Haq
from passes.search.haq_projection import project
from passes.search.task import SearchTask


class Features:
    """Describes five layers."""

    def features(self) -> np.ndarray:
        return np.arange(40.0).reshape(5, 8)


def test_the_projection_lowers_the_last_layers_first_and_no_more_than_needed(task: SearchTask) -> None:
    space = task.space
    top = space.encode(space.widest())
    full = task.costs(space.widest())["latency_s"]
    assert project(task, top, 1.0) == top
    lowered = project(task, top, 0.9)
    assert lowered[0] == top[0]
    assert lowered != top
    assert task.costs(space.decode(lowered))["latency_s"] <= 0.9 * full
    assert project(task, top, 0.0) == (0,) * len(top)


def test_a_problem_without_a_model_is_refused(task: SearchTask, stub: Stub) -> None:
    with pytest.raises(UsageError, match="haq asks about the model"):
        search(task, Haq(), stub, Limits(1))


def test_episodes_stay_within_their_budgets_and_follow_the_seed(task: SearchTask) -> None:
    pytest.importorskip("stable_baselines3")
    known = replace(task, knowledge=Features())  # type: ignore[arg-type]
    solver = Haq(warm_up=2, hidden=8, ratios=(0.5,))
    first, again = (search(known, solver, Stub(task.problem), Limits(5), 1) for _ in range(2))
    limit = 0.5 * task.costs(task.space.uniform(8))["latency_s"]
    assert first.points == again.points
    assert all(point.get("latency_s") <= limit for point in first.points)


def test_a_missing_package_names_its_extra(
    task: SearchTask, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    known = replace(task, knowledge=Features())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"qtool\[rl\]"):
        search(known, Haq(), stub, Limits(1))
