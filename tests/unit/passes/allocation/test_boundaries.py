from __future__ import annotations

import json
from dataclasses import replace

import pytest

from passes.allocation import (
    AllocationProblem,
    Boundary,
    Budget,
    InfeasibleBudgetError,
    cheapest,
    evaluate,
    parse_budget,
    solver,
)
from passes.errors import ProblemError

CONVERSION = Boundary("a", "b", {(8, 4): {"latency_s": 1.5}, (4, 8): {"latency_s": 4.0}})


@pytest.fixture
def joined(two_layers) -> AllocationProblem:
    """Two layers with a conversion between them that costs 1.5 s down and 4 s up, and half a second fixed."""
    return replace(two_layers, boundaries=(CONVERSION,), fixed={"latency_s": 0.5})


def test_json_round_trip(joined):
    assert AllocationProblem.from_json(json.loads(json.dumps(joined.to_json()))) == joined


def test_a_document_without_boundaries_is_still_read(two_layers):
    document = two_layers.to_json()
    del document["boundaries"], document["fixed"]
    assert AllocationProblem.from_json(document) == two_layers


def test_what_is_absent_costs_nothing():
    assert CONVERSION.cost(8, 4, "latency_s") == 1.5
    assert CONVERSION.cost(4, 4, "latency_s") == 0.0
    assert CONVERSION.cost(8, 4, "bytes") == 0.0


@pytest.mark.parametrize(
    ("choices", "latency"), [((0, 0), 3.5), ((1, 0), 7.0), ((0, 1), 10.5), ((1, 1), 8.5)]
)
def test_totals_count_the_boundary_and_the_fixed_part(joined, choices, latency):
    loss, cost = evaluate(joined, choices)
    assert cost["latency_s"] == latency
    assert cost["bytes"] == sum((20.0, 10.0)[choice == 0] for choice in choices)
    assert loss == sum(
        layer.choices[choice].loss for layer, choice in zip(joined.layers, choices, strict=True)
    )


def test_opposed_and_parallel_boundaries_add_up(two_layers):
    back = Boundary("b", "a", {(4, 8): {"latency_s": 10.0}})
    problem = replace(two_layers, boundaries=(CONVERSION, CONVERSION, back))
    assert evaluate(problem, (1, 0))[1]["latency_s"] == 5.0 + 2 * 1.5 + 10.0
    # All are between the same two layers: 4.0 of conversion apiece upwards, 13.0 downwards.
    found = solver("ilp").solve(problem, [Budget("loss", 9.0)], minimize="latency_s")
    assert (found.choices, found.cost["latency_s"], found.status) == ((1, 1), 8.0, "optimal")


def test_a_boundary_between_layers_that_share_their_width(joined):
    same = Boundary("a", "b", {(8, 8): {"latency_s": 2.0}})
    tied = replace(joined, boundaries=(same,), act_ties=(("a", "b"),))
    assert cheapest(tied, "latency_s") == 3.5
    found = solver("ilp").solve(tied, [])
    assert (found.choices, found.cost["latency_s"]) == ((1, 1), 10.5)


def test_a_budget_as_a_share_counts_both_ends_with_their_boundaries(joined):
    same = replace(joined, boundaries=(Boundary("a", "b", {(8, 8): {"latency_s": 4.0}}),))
    # From 1 + 2 + 0.5 at 4 bits to 3 + 5 + 4 + 0.5 at 8 bits.
    assert parse_budget("latency_s=0.5f", same).limit == 8.0


@pytest.mark.parametrize("name", ["ilp", "greedy"])
@pytest.mark.parametrize(("limit", "choices"), [(8.5, (1, 1)), (8.4, (1, 0)), (6.9, (0, 0))])
def test_a_conversion_counts_against_the_budget(joined, name, limit, choices):
    # Without the conversion 4 and 8 bits would take 6.5 seconds and lose less than 8 and 4.
    found = solver(name).solve(joined, [Budget("latency_s", limit)])
    assert found.choices == choices
    assert found.cost["latency_s"] <= limit


def test_the_least_with_boundaries_is_named(joined):
    with pytest.raises(InfeasibleBudgetError, match=r"the least that is feasible is 3\.5") as caught:
        solver("ilp").solve(joined, [Budget("latency_s", 3.4)])
    assert caught.value.least == {"latency_s": 3.5}


def _set(document, path, value):
    *parents, last = path
    for key in parents:
        document = document[key]
    document[last] = value


FIRST = ("boundaries", 0)
COST = (*FIRST, "costs", 1)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("boundaries",), {}, "p.json: boundaries: expected an array, found {}"),
        (FIRST, 7, r"boundaries\[0\]: expected an object, found 7"),
        ((*FIRST, "from"), None, r"boundaries\[0\].from: expected a non-empty string"),
        ((*FIRST, "to"), "c", r"boundaries\[0\].to: expected the name of a layer, found 'c'"),
        ((*FIRST, "to"), "a", r"boundaries\[0\].to: expected another layer than in from, found 'a'"),
        ((*FIRST, "costs"), None, r"boundaries\[0\].costs: expected an array"),
        (COST, [], r"costs\[1\]: expected an object"),
        ((*COST, "from_bits"), 0, r"costs\[1\].from_bits: expected a whole number of bits"),
        ((*COST, "to_bits"), "8", r"costs\[1\].to_bits: expected a whole number of bits"),
        ((*COST, "cost"), 1.0, r"costs\[1\].cost: expected an object"),
        (
            (*COST, "cost"),
            {"latency_s": float("nan")},
            r"costs\[1\].cost.latency_s: expected a finite number",
        ),
        ((*COST, "cost"), {"latency_s": -1.0}, r"boundaries\[0\], 8 to 4 bits, latency_s: .* not negative"),
        ((*COST, "cost"), {"loss": 1.0}, "the choices have no metric 'loss'; they have latency_s, bytes"),
        (("fixed",), [], "fixed: expected an object"),
        (("fixed",), {"power": 1.0}, "fixed: the choices have no metric 'power'"),
        (("fixed",), {"bytes": -2.0}, "fixed, bytes: expected a cost that is not negative, found -2.0"),
        (("fixed",), {"bytes": float("inf")}, "fixed.bytes: expected a finite number"),
    ],
)
def test_a_damaged_document_is_refused_with_its_place(joined, path, value, message):
    document = joined.to_json()
    _set(document, path, value)
    with pytest.raises(ProblemError, match=message):
        AllocationProblem.from_json(document, "p.json")


def test_a_pair_of_widths_has_one_price(joined):
    document = joined.to_json()
    document["boundaries"][0]["costs"] *= 2
    with pytest.raises(
        ProblemError, match=r"costs\[2\]: expected each pair of from_bits and to_bits once, found \(4, 8\)"
    ):
        AllocationProblem.from_json(document, "p.json")
