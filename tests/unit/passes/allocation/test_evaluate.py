from __future__ import annotations

from dataclasses import replace

import pytest

from passes.allocation import cheapest, evaluate
from passes.errors import ProblemError, UsageError


def test_sums(two_layers):
    assert evaluate(two_layers, (0, 1)) == (7.0, {"latency_s": 6.0, "bytes": 30.0})


@pytest.mark.parametrize(
    ("choices", "message"),
    [((0,), "one choice for each of 2"), ((0, 2), "layer 'b'"), ((0, -1), "layer 'b'")],
)
def test_choices_that_do_not_exist(two_layers, choices, message):
    with pytest.raises(ProblemError, match=message):
        evaluate(two_layers, choices)


@pytest.mark.parametrize("kind", ["ties", "act_ties"])
def test_ties_are_checked(two_layers, kind):
    with pytest.raises(ProblemError, match="a, b"):
        evaluate(replace(two_layers, **{kind: (("a", "b"),)}), (0, 1))


def test_cheapest(two_layers):
    assert cheapest(two_layers, "latency_s") == 3.0
    assert cheapest(two_layers, "loss") == 3.0
    with pytest.raises(UsageError, match="unknown metric 'power'"):
        cheapest(two_layers, "power")


def test_cheapest_respects_ties(two_layers):
    document = replace(two_layers, ties=(("a", "b"),)).to_json()
    document["layers"][0]["choices"][0]["cost"]["latency_s"] = 7.0
    problem = type(two_layers).from_json(document)
    # 7 + 2 at 4 bits, 3 + 5 at 8 bits; free layers would reach 3 + 2.
    assert cheapest(problem, "latency_s") == 8.0
