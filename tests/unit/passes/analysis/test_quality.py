"""Rank correlations by hand, and random plans that obey the ties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hwmodels import Precision
from passes.analysis.quality import predicted_loss, random_bits, rank_correlation
from passes.analysis.sensitivity import SensitivityTable
from passes.errors import UsageError
from passes.ir.model import Model
from passes.ir.setup import quantizer_setup


def test_ranks_count_not_values() -> None:
    found = rank_correlation([1, 2, 3, 4], [1, 10, 100, 1000])
    assert (found.spearman, found.kendall) == (pytest.approx(1), pytest.approx(1))


def test_one_exchanged_pair() -> None:
    # Of six pairs one is in the other order: (5 - 1) / 6; ranks differ by 1 twice: 1 - 6 * 2 / (4 * 15).
    found = rank_correlation([1, 2, 3, 4], [1, 2, 4, 3])
    assert found.kendall == pytest.approx(4 / 6)
    assert found.spearman == pytest.approx(0.8)


def test_ties_count_as_scipy_counts_them(rng: np.random.Generator) -> None:
    left, right = rng.integers(0, 12, (2, 40)).astype(float)
    left[:3] = np.inf
    found = rank_correlation(left, right)
    assert found.spearman == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-12)
    assert found.kendall == pytest.approx(stats.kendalltau(left, right).statistic, abs=1e-12)


def test_a_constant_prediction_says_nothing() -> None:
    found = rank_correlation([1, 1, 1], [1, 2, 3])
    assert (found.spearman, found.kendall) == (0.0, 0.0)


@pytest.mark.parametrize(("left", "right"), [([1.0], [1.0]), ([1.0, 2.0], [1.0])])
def test_too_few_plans_are_refused(left: list[float], right: list[float]) -> None:
    with pytest.raises(UsageError, match="two plans or more"):
        rank_correlation(left, right)


def test_random_plans_are_within_bounds_and_repeat(model: Model) -> None:
    setup = quantizer_setup(model.graph)
    plans = [random_bits(setup, np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3)]
    assert plans[0] == plans[1]
    assert len({str(plan) for plan in plans}) > 1
    assert all(
        3 <= bits <= 8
        for plan in plans
        for pair in plan.values()
        for bits in (pair.weight_bits, pair.act_bits)
    )


def test_predictions_add_up() -> None:
    table = SensitivityTable("by hand", {"a": {4: 0.5}, "b": {8: 0.125}}, {"a": {8: 1.0}, "b": {8: 2.0}})
    assert predicted_loss(table, {"a": Precision(4, 8), "b": Precision(8, 8)}) == 3.625
