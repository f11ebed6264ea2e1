"""The front around a plan: plans of least estimated loss at several budgets, and uniform plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.allocation.budget import Budget
from passes.allocation.evaluate import cheapest, evaluate
from passes.allocation.feasibility import InfeasibleBudgetError
from passes.allocation.ilp import Ilp
from passes.allocation.problem import LOSS
from qtool.report.front import FrontPoint, FrontReport

if TYPE_CHECKING:
    from passes.allocation.decision import Decision
    from passes.allocation.problem import AllocationProblem

BUDGETS = 12
TIME_S = 1.0
"""For the plan of one budget; out of time it is the best known one, and its bound still holds."""


def estimated_front(decision: Decision) -> FrontReport:
    """Return the surroundings of a decision along the cost that it limits, or minimises, or the first one."""
    problem = decision.problem
    limited = [budget.metric for budget in decision.budgets if budget.metric != LOSS]
    sought = [decision.minimize] if decision.minimize != LOSS else []
    metric = next(iter((*limited, *sought, *problem.metrics)))
    alone = decision.minimize == LOSS and {budget.metric for budget in decision.budgets} <= {metric}
    # Within other budgets too, the bound says nothing of plans that only cost as much.
    bound = decision.bound if alone else None
    plan = _point(problem, decision.choices, metric, ("this plan", "plan"), bound)
    uniform = uniform_choices(problem)
    others = [_point(problem, choices, metric, (name, "uniform")) for name, choices in uniform.items()]
    top = max(point.cost for point in (plan, *others))
    layers = tuple(layer.name for layer in problem.layers)
    return FrontReport(metric, layers, (plan, *others, *_optimal(problem, metric, top)))


def uniform_choices(problem: AllocationProblem) -> dict[str, tuple[int, ...]]:
    """Return the plans of one precision for all layers, by name such as ``w4a8``, from few bits to many."""
    offers = [{choice.pair: at for at, choice in enumerate(layer.choices)} for layer in problem.layers]
    shared = sorted(set.intersection(*(set(offer) for offer in offers)))
    return {f"w{pair[0]}a{pair[1]}": tuple(offer[pair] for offer in offers) for pair in shared}


def _optimal(problem: AllocationProblem, metric: str, top: float) -> list[FrontPoint]:
    low = cheapest(problem, metric)
    found: dict[tuple[int, ...], FrontPoint] = {}
    for step in range(BUDGETS):
        limit = low + (top - low) * step / (BUDGETS - 1)
        try:
            best = Ilp().solve(problem, [Budget(metric, limit)], time_limit_s=TIME_S)
        except InfeasibleBudgetError:
            # The cheapest plan is a rounded sum; out of time nothing within the limit may have been found.
            continue
        name = (f"optimum {len(found) + 1}", "optimal")
        found.setdefault(best.choices, _point(problem, best.choices, metric, name, best.bound))
    return list(found.values())


def _point(
    problem: AllocationProblem,
    choices: tuple[int, ...],
    metric: str,
    name: tuple[str, str],
    bound: float | None = None,
) -> FrontPoint:
    loss, cost = evaluate(problem, choices)
    taken = [layer.choices[at] for layer, at in zip(problem.layers, choices, strict=True)]
    bits = tuple(it.weight_bits for it in taken), tuple(it.act_bits for it in taken)
    return FrontPoint(*name, loss, bound, cost[metric], *bits)
