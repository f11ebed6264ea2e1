"""The conformance kit of solvers: what every solver promises, checked against all choices of small problems.

Authors of solvers call `check_solver` in their own tests.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from passes.allocation.budget import Budget
from passes.allocation.choices import Choice, LayerChoices
from passes.allocation.evaluate import evaluate
from passes.allocation.problem import LOSS, AllocationProblem
from passes.errors import InfeasibleError, PassContractError, ProblemError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passes.allocation.allocation import Allocation
    from passes.allocation.solver import Solver

SLACK = 1e-9
"""Relative rounding that is no violation."""
_BITS = ((2, 8), (4, 4), (4, 8), (8, 8))
_SHARES = (0.25, 0.5, 0.9)


def check_solver(solver: Solver, *, seed: int = 0, problems: int = 4) -> None:
    """Check a solver against the promises of `passes.allocation.Solver`.

    Args:
        solver: any object with a name and a method ``solve``.
        seed: of the random problems, of 3 to 5 layers with up to 4 choices and a tie.
        problems: how many.

    Raises:
        PassContractError: some promise is broken; the message lists every violation on a line of its own.
    """
    rng = np.random.default_rng(seed)
    cases = [_problem(rng) for _ in range(problems)]
    found = list(dict.fromkeys(line for problem in cases for line in _violations(solver, problem)))
    if found:
        lines = (f"{solver.name}: {len(found)} violations", *(f"- {line}" for line in found))
        raise PassContractError("\n".join(lines))


def _problem(rng: np.random.Generator) -> AllocationProblem:
    """Return a problem whose first two layers are tied; costs grow with bits, losses do so mostly."""
    layers = []
    for index in range(int(rng.integers(3, 6))):
        size = float(rng.integers(10, 1000))
        losses = rng.random(len(_BITS))
        choices = tuple(
            Choice(weight, act, float(loss) / weight, _costs(size, weight, act))
            for (weight, act), loss in zip(_BITS, losses, strict=True)
        )
        layers.append(LayerChoices(f"layer{index}", choices))
    return AllocationProblem("random", tuple(layers), ties=(("layer0", "layer1"),))


def _costs(size: float, weight: int, act: int) -> dict[str, float]:
    return {"latency_s": size * weight * act, "bytes": size * weight}


def _violations(solver: Solver, problem: AllocationProblem) -> Iterator[str]:
    totals = list(_totals(problem))
    costs = [costs["latency_s"] for _, costs in totals]
    for share in _SHARES:
        limit = min(costs) + share * (max(costs) - min(costs))
        best = min(loss for loss, costs in totals if costs["latency_s"] <= limit)
        budgets = [Budget("latency_s", limit)]
        found = solver.solve(problem, budgets)
        yield from _wrong(problem, budgets, found, best)
        if solver.solve(problem, budgets) != found:
            yield "the same problem and seed gave two answers"
    least = min(costs["bytes"] for _, costs in totals)
    yield from _wrong(problem, [], solver.solve(problem, [], minimize="bytes"), least)
    yield from _refusals(solver, problem, min(costs))


def _totals(problem: AllocationProblem) -> Iterator[tuple[float, dict[str, float]]]:
    """Yield loss and costs of every choice that respects the ties."""
    for choices in product(*(range(len(layer.choices)) for layer in problem.layers)):
        try:
            yield evaluate(problem, choices)
        except ProblemError:
            continue


def _wrong(
    problem: AllocationProblem, budgets: Sequence[Budget], found: Allocation, best: float
) -> Iterator[str]:
    """Hold an answer against the best one."""
    try:
        loss, costs = evaluate(problem, found.choices)
    except ProblemError as error:
        yield f"its choices are none: {error}"
        return
    if (found.loss, found.cost) != (loss, costs):
        yield "its loss or its costs are not the sums over its choices; use make_allocation"
    for budget in budgets:
        used = costs[budget.metric]
        if used > budget.limit * (1 + SLACK):
            yield f"it uses {used:g} of {budget.metric}, more than the limit of {budget.limit:g}"
    value = loss if found.objective == LOSS else costs[found.objective]
    if found.status == "optimal" and value > best * (1 + SLACK):
        yield f"it calls {value:g} optimal, and {best:g} is possible"
    if found.bound > best * (1 + SLACK):
        yield f"its bound of {found.bound:g} is above {best:g}, which is possible"


def _refusals(solver: Solver, problem: AllocationProblem, least: float) -> Iterator[str]:
    """Ask for what cannot be had."""
    asked = ((InfeasibleError, Budget("latency_s", least / 2)), (UsageError, Budget("smell", 1.0)))
    for error, budget in asked:
        try:
            solver.solve(problem, [budget])
        except error:
            continue
        yield f"it does not raise {error.__name__} for a budget of {budget.limit:g} on {budget.metric}"
