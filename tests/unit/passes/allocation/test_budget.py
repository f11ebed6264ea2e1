from __future__ import annotations

import pytest

from passes.allocation import Budget, parse_budget
from passes.errors import UsageError


def test_an_absolute_limit(two_layers):
    assert parse_budget("latency_s=12.5", two_layers) == Budget("latency_s", 12.5)


def test_a_fraction_lies_between_the_uniform_choices(two_layers):
    assert parse_budget("latency_s=0.25f", two_layers) == Budget("latency_s", 3.0 + 0.25 * (8.0 - 3.0))


def test_the_loss_has_a_budget_too(two_layers):
    assert parse_budget(" loss = 7 ", two_layers) == Budget("loss", 7.0)


@pytest.mark.parametrize(
    "text", ["latency_s", "latency_s=", "latency_s=f", "latency_s=1ms", "latency_s=nan", "latency_s=inff"]
)
def test_text_that_is_no_budget(two_layers, text):
    with pytest.raises(UsageError, match="budget"):
        parse_budget(text, two_layers)


def test_an_unknown_metric_gets_a_hint(two_layers):
    with pytest.raises(UsageError, match="did you mean latency_s"):
        parse_budget("latency=1", two_layers)
