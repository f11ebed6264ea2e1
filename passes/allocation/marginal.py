"""What a decision hangs on: prices of budgets, and what every other choice of a layer would change.

The prices are the multipliers of the linear relaxation (for problems without links, of its Lagrangian dual,
which has the same value). The reduced cost of a choice is by how much the bound rises when the choice is
forced: no plan with it has a smaller objective than bound plus reduced cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from passes.allocation.compiled import compile_problem
from passes.allocation.core import make_core, whole_core
from passes.allocation.evaluate import evaluate
from passes.allocation.groups import components, tied_groups
from passes.allocation.lagrangian import Dual, maximise_dual
from passes.allocation.problem import LOSS
from passes.allocation.relaxation import relax

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.allocation.choices import Choice
    from passes.allocation.compiled import CompiledProblem
    from passes.allocation.core import Core
    from passes.allocation.decision import Decision
    from passes.allocation.problem import AllocationProblem

TIME_S = 20.0
"""For the relaxation; out of time the prices are zero, and the bounds hold all the same."""
ROUNDING = 1e-12
"""Share of the range of the objective below which a rise is rounding."""
SLACK = 1e-9
"""Share of a limit by which a sum may exceed it."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One choice of a layer, and what taking it alone would change.

    Attributes:
        choice: bits, and the layer's own loss and costs.
        taken: whether the plan has it.
        partners: layers that would have to change with it, because they share an activation or are tied.
        loss: change of the network's loss; ``None`` where the partners cannot follow.
        cost: change of the network's costs by metric, conversions included; empty likewise.
        exceeds: metrics of the budgets that would not be met.
        reduced_cost: by how much the bound of the objective rises when it is forced, at least 0; infinite
            where the partners cannot follow.
    """

    choice: Choice
    taken: bool
    partners: tuple[str, ...]
    loss: float | None
    cost: Mapping[str, float]
    exceeds: tuple[str, ...]
    reduced_cost: float


@dataclass(frozen=True, slots=True)
class Margin:
    """What a decision hangs on.

    Attributes:
        bound: no plan within the budgets has a smaller objective, by the relaxation.
        prices: by metric of a budget, what the objective would fall by per unit of room; 0 where the budget
            does not bind.
        reduced_costs: per layer and choice, as in `Alternative`.
    """

    bound: float
    prices: Mapping[str, float]
    reduced_costs: tuple[tuple[float, ...], ...]


def margin(decision: Decision) -> Margin:
    """Return prices and reduced costs of a decision.

    Raises:
        UsageError: a budget on a metric that the problem does not have.
    """
    compiled = compile_problem(decision.problem)
    dual = _dual(make_core(compiled, decision.budgets, decision.minimize))
    core = whole_core(compiled, decision.budgets, decision.minimize)
    rises = core.tree.forced(core.score(dual.price, dual.message))
    prices: dict[str, float] = {}
    for budget, price in zip(decision.budgets, dual.price, strict=True):
        prices[budget.metric] = prices.get(budget.metric, 0.0) + float(price)
    noise = ROUNDING * core.span(core.value)
    table = _by_choice(decision.problem, compiled, np.where(rises > noise, rises, 0.0))
    return Margin(dual.bound, prices, table)


def alternatives(decision: Decision, layer: str, found: Margin) -> tuple[Alternative, ...]:
    """Return every choice of a layer, in the order of the problem.

    Args:
        decision: the plan is that of its choices.
        layer: a name of the problem.
        found: by `margin`.
    """
    layers = decision.problem.layers
    at = next(index for index, entry in enumerate(layers) if entry.name == layer)
    before = evaluate(decision.problem, decision.choices)
    return tuple(
        _alternative(decision, (at, index), before, found.reduced_costs[at][index])
        for index in range(len(layers[at].choices))
    )


def _dual(core: Core) -> Dual:
    if core.links:
        return relax(core, monotonic() + TIME_S)
    if len(core.limit):
        return maximise_dual(core)
    nothing = np.zeros(0)
    return Dual(core.tree.minimise(core.value)[0], nothing, nothing, ())


def _by_choice(
    problem: AllocationProblem, compiled: CompiledProblem, rises: NDArray[np.float64]
) -> tuple[tuple[float, ...], ...]:
    """Return the least rise of any option in which a layer takes a choice; infinite where there is none."""
    table = [[np.inf] * len(layer.choices) for layer in problem.layers]
    for rise, (members, choices) in zip(rises.tolist(), compiled.places, strict=True):
        for member, choice in zip(members, choices, strict=True):
            table[member][choice] = min(table[member][choice], rise)
    return tuple(tuple(row) for row in table)


def _alternative(
    decision: Decision, place: tuple[int, int], before: tuple[float, Mapping[str, float]], rise: float
) -> Alternative:
    layer, index = place
    choice = decision.problem.layers[layer].choices[index]
    taken = decision.choices[layer] == index
    moved = _moved(decision, layer, choice.pair)
    if moved is None:
        return Alternative(choice, taken, (), None, {}, (), rise)
    pairs = enumerate(zip(moved, decision.choices, strict=True))
    changed = [at for at, (new, old) in pairs if new != old and at != layer]
    names = tuple(decision.problem.layers[at].name for at in changed)
    loss, cost = evaluate(decision.problem, moved)
    used = dict(cost) | {LOSS: loss}
    over = (it.metric for it in decision.budgets if used[it.metric] > it.limit + SLACK * abs(it.limit))
    change = {metric: value - before[1][metric] for metric, value in cost.items()}
    return Alternative(choice, taken, names, loss - before[0], change, tuple(over), rise)


def _moved(decision: Decision, layer: int, pair: tuple[int, int]) -> tuple[int, ...] | None:
    """Return the plan in which a layer takes a pair, and its partners what they then have to take."""
    problem, moved = decision.problem, list(decision.choices)
    groups = tied_groups(problem.layers, problem.ties)
    home = next(at for at, group in enumerate(groups) if layer in group)
    joined = components(problem.layers, groups, problem.act_ties)
    for group in next(members for members in joined if home in members):
        for member in groups[group]:
            choices = problem.layers[member].choices
            weights = choices[moved[member]].weight_bits
            wanted = pair if group == home else (weights, pair[1])
            offered = [at for at, choice in enumerate(choices) if choice.pair == wanted]
            if not offered:
                return None
            moved[member] = offered[0]
    return tuple(moved)
