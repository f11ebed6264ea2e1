"""Metrics, on outputs small enough to score by hand."""

from __future__ import annotations

import numpy as np
import pytest

from passes.allocation.quantities import parse_drop
from passes.errors import UsageError
from passes.execution.metrics import (
    Metric,
    agreement,
    choose_metric,
    cosine,
    drop_between,
    likelihood,
    sqnr,
)

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], np.float32)
LABELS = np.array([1, 1, 2, 2])


def test_top1_counts_the_largest_score() -> None:
    assert Metric("top1")([SCORES], [SCORES], LABELS) == 0.5


def test_labels_are_shifted_for_a_background_class() -> None:
    assert Metric("top1", label_offset=1)([SCORES], [SCORES], LABELS - 1) == 0.5


def test_top5_looks_further() -> None:
    scores = np.arange(8.0)[None].repeat(2, 0)
    assert Metric("top5")([scores], [scores], np.array([3, 2])) == 0.5


def test_sqnr_is_ten_decibels_for_a_tenth_of_the_power() -> None:
    reference = np.ones(1000)
    assert sqnr([reference * (1 + np.sqrt(0.1))], [reference]) == pytest.approx(10.0)
    assert sqnr([reference], [reference]) == 200.0


def test_cosine_ignores_length_and_sees_direction() -> None:
    assert cosine([np.array([2.0, 0.0])], [np.array([1.0, 0.0])]) == pytest.approx(1.0)
    assert cosine([np.array([0.0, 1.0])], [np.array([1.0, 0.0])]) == pytest.approx(0.0)


def test_agreement_compares_the_largest_entries() -> None:
    other = SCORES.copy()
    other[0] = [0.9, 0.05, 0.05]
    assert agreement([other], [SCORES]) == 0.75


def test_the_data_decide_the_metric() -> None:
    assert choose_metric(None, LABELS).name == "top1"
    assert choose_metric(None, None).name == "agreement"


@pytest.mark.parametrize(
    ("name", "message"),
    [("top1", "needs labels"), ("topp1", "did you mean top1"), ("no.such:function", None)],
)
def test_metrics_that_cannot_be_computed(name: str, message: str | None) -> None:
    with pytest.raises(UsageError, match=message):
        choose_metric(name, None)([SCORES], [SCORES], None)


def test_likelihood_is_the_geometric_mean_of_what_the_next_tokens_had() -> None:
    logits = np.log([[[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]]])
    assert likelihood(logits, np.array([[0, 1, 0]])) == pytest.approx(np.sqrt(0.5 * 0.2))
    assert likelihood(np.zeros((2, 4, 10)), np.zeros((2, 4), np.int64)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("logits", "tokens"), [((2, 5, 10), (2, 3)), ((2, 10), (2, 10)), ((2, 1, 10), (2, 1))]
)
def test_likelihood_needs_a_token_per_position(logits: tuple[int, ...], tokens: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="metric likelihood: expected logits of shape"):
        likelihood(np.zeros(logits), np.zeros(tokens, np.int64))


@pytest.mark.parametrize("total", [100, 128, 500, 5000])
def test_a_drop_of_some_samples_is_within_a_limit_of_as_many(total: int) -> None:
    for right in range(0, total, 7):
        for lost in range(min(right, 20) + 1):
            drop = drop_between(right / total, (right - lost) / total)
            assert drop <= parse_drop(f"{100 * lost / total:.10g}%")
            assert lost == 0 or drop > parse_drop(f"{100 * (lost - 1) / total:.10g}%")
