from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from passes.allocation import AllocationProblem, Budget, Choice, LayerChoices, evaluate, parse_budget, solver

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
sys.path[:0] = [str(HERE), str(ROOT / "benchmarks")]

from generated_network import generated_network  # noqa: E402
from generated_problem import generated_problem  # noqa: E402
from hawq_resnet18 import OPTIMA, hawq_resnet18  # noqa: E402


def _bits(problem, allocation):
    return "".join(str(layer["weight_bits"]) for layer in allocation.to_json(problem)["layers"])


@pytest.mark.parametrize("text", OPTIMA)
def test_published_optima_of_hawq(text):
    problem = hawq_resnet18()
    found = solver("ilp").solve(problem, [parse_budget(text, problem)])
    bits, loss = OPTIMA[text]
    assert _bits(problem, found) == bits
    assert found.loss == pytest.approx(loss, abs=5e-6)
    assert found.status == "optimal"
    assert found.bound == found.loss


@pytest.mark.needs_data
def test_the_problem_file_agrees_with_the_tables(shared_data):
    fixtures = shared_data / "fixtures"
    problem = AllocationProblem.load(fixtures / "hawq_resnet18_problem.json")
    optima = json.loads((fixtures / "hawq_resnet18_optimum.json").read_text(encoding="utf-8"))
    for key, expected in optima.items():
        found = solver("ilp").solve(problem, [parse_budget(key.replace(" ", "=") + "f", problem)])
        assert _bits(problem, found) == expected["bits"]


def test_no_budget_takes_the_least_loss(two_layers):
    found = solver("ilp").solve(two_layers, [])
    assert (found.choices, found.loss, found.bound) == ((1, 1), 3.0, 3.0)


def test_the_roles_of_loss_and_cost_can_be_exchanged(two_layers):
    found = solver("ilp").solve(two_layers, [Budget("loss", 7.0)], minimize="latency_s")
    assert found.choices == (0, 1)
    assert (found.objective, found.bound, found.cost["latency_s"]) == ("latency_s", 6.0, 6.0)


def test_a_budget_that_is_met_exactly(two_layers):
    assert solver("ilp").solve(two_layers, [Budget("latency_s", 6.0)]).choices == (0, 1)


def test_json_of_the_answer(two_layers):
    document = solver("ilp").solve(two_layers, [Budget("latency_s", 6.0)]).to_json(two_layers)
    assert document == {
        "status": "optimal",
        "objective": "loss",
        "loss": 7.0,
        "cost": {"latency_s": 6.0, "bytes": 30.0},
        "bound": 7.0,
        "layers": [
            {"name": "a", "weight_bits": 4, "act_bits": 4, "choice": 0},
            {"name": "b", "weight_bits": 8, "act_bits": 8, "choice": 1},
        ],
    }


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_the_scale_of_a_cost_does_not_matter(scale):
    rng = np.random.default_rng(7)
    cost = np.sort(rng.uniform(1, 9, size=(30, 3)), axis=1)
    loss = -np.sort(-rng.uniform(1, 9, size=(30, 3)), axis=1)

    def problem(factor):
        layers = [
            LayerChoices(
                f"l{at}",
                tuple(
                    Choice(b, b, float(x), {"s": float(c * factor)})
                    for b, x, c in zip((2, 4, 8), losses, costs, strict=True)
                ),
            )
            for at, (losses, costs) in enumerate(zip(loss, cost, strict=True))
        ]
        return AllocationProblem("scaled", tuple(layers))

    limit = float(cost.sum() / 3)
    plain = solver("ilp").solve(problem(1.0), [Budget("s", limit)])
    scaled = solver("ilp").solve(problem(scale), [Budget("s", limit * scale)])
    assert scaled.choices == plain.choices
    assert scaled.cost["s"] <= limit * scale * (1 + 1e-12)


def test_the_same_question_gets_the_same_answer():
    problem = generated_problem(60, seed=3)
    budgets = [parse_budget("latency_s=0.3f", problem), parse_budget("weight_bytes=0.4f", problem)]
    first, second = (solver("ilp").solve(problem, budgets) for _ in range(2))
    assert first == second


def test_greedy_ends_on_a_large_problem_and_is_not_better():
    problem = generated_problem(200, seed=0)
    budgets = [parse_budget("latency_s=0.3f", problem), parse_budget("weight_bytes=0.4f", problem)]
    baseline, best = (solver(name).solve(problem, budgets) for name in ("greedy", "ilp"))
    assert baseline.bound <= best.loss <= baseline.loss <= 1.5 * best.loss
    assert all(baseline.cost[budget.metric] <= budget.limit * (1 + 1e-12) for budget in budgets)


def test_out_of_time_the_bound_still_holds():
    problem = generated_problem(300, seed=4)
    budgets = [parse_budget("latency_s=0.3f", problem), parse_budget("weight_bytes=0.4f", problem)]
    hasty = solver("ilp").solve(problem, budgets, time_limit_s=0.0)
    best = solver("ilp").solve(problem, budgets)
    assert hasty.bound <= best.loss <= hasty.loss
    assert all(hasty.cost[budget.metric] <= budget.limit * (1 + 1e-12) for budget in budgets)


@pytest.mark.slow
@pytest.mark.parametrize("share", [1, 2])
def test_two_thousand_layers_with_two_budgets(share, capfd):
    problem = generated_problem(2000, seed=0, share=share)
    budgets = [parse_budget("latency_s=0.3f", problem), parse_budget("weight_bytes=0.4f", problem)]
    found = solver("ilp").solve(problem, budgets)
    assert found.status == "optimal"
    assert found.bound == found.loss
    loss, cost = evaluate(problem, found.choices)
    assert loss == found.loss
    assert all(cost[budget.metric] <= budget.limit * (1 + 1e-12) for budget in budgets)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("texts", [("latency_s=0.3f",), ("latency_s=0.3f", "weight_bytes=0.4f")])
@pytest.mark.parametrize("layers", [53, 60])
def test_a_network_with_conversions_between_its_layers(layers, texts):
    problem = generated_network(layers, seed=0)
    budgets = [parse_budget(text, problem) for text in texts]
    found = solver("ilp").solve(problem, budgets)
    assert (found.status, found.bound) == ("optimal", found.loss)
    assert evaluate(problem, found.choices) == (found.loss, found.cost)
    assert all(found.cost[budget.metric] <= budget.limit * (1 + 1e-12) for budget in budgets)
    baseline = solver("greedy").solve(problem, budgets)
    assert baseline.bound <= found.loss <= baseline.loss <= 1.5 * found.loss


def test_conversions_are_avoided_where_they_cost_more_than_they_gain():
    cheap, dear = (generated_network(12, seed=1, weight=weight) for weight in (0.0, 10.0))

    def switches(problem):
        found = solver("ilp").solve(problem, [parse_budget("latency_s=0.3f", problem)])
        bits = [layer["act_bits"] for layer in found.to_json(problem)["layers"]]
        return sum(one != other for one, other in pairwise(bits))

    assert switches(dear) < switches(cheap)


def test_out_of_time_the_bound_still_holds_with_conversions():
    problem = generated_network(53, seed=0)
    budgets = [parse_budget("latency_s=0.1f", problem)]
    hasty = solver("ilp").solve(problem, budgets, time_limit_s=0.0)
    assert hasty.bound <= hasty.loss
    assert hasty.cost["latency_s"] <= budgets[0].limit * (1 + 1e-12)
