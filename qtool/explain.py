"""``qtool explain``: why a layer has the bits that it has, and what other bits would change."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from passes.allocation.budget import Budget
from passes.allocation.decision import Decision
from passes.allocation.marginal import alternatives, margin
from passes.allocation.problem import LOSS
from passes.errors import ReportError, UsageError, unknown_name
from qtool.report.folder import Compiled, Searched, open_folder
from qtool.report.format import cost_or_number, plain
from qtool.report.headline import metric_word

if TYPE_CHECKING:
    from pathlib import Path

    from passes.allocation.marginal import Alternative
    from qtool.report.search import SearchPoint

NEXT = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Directions in which neighbours of a choice lie: fewer and more bits of weights, then of activations."""


def explain(folder: Path, layer: str, point: int | None = None) -> dict[str, Any]:
    """Explain the precision of one layer.

    Args:
        folder: of ``qtool quantize`` or ``qtool search``.
        layer: its name.
        point: of a search, which point of the front; the knee if ``None``.

    Returns:
        ``layer``, ``taken``, ``objective``, ``bound``; ``budgets`` with limit, use, and price: the objective
        that a unit more of the budget is worth; ``choices``, each with its own loss and cost, and what taking
        it would change in the network: loss, cost, budgets exceeded, layers that change with it, and the rise
        of the bound (``reduced_cost``).

    Raises:
        ReportError: the folder holds no results, or damaged ones.
        ProblemError: problem.json is damaged.
        UsageError: no such layer or point, or nothing was solved.
    """
    decision = _decision(open_folder(folder), folder, point)
    names = [entry.name for entry in decision.problem.layers]
    if layer not in names:
        raise unknown_name("layer", layer, names)
    found = margin(decision)
    choices = alternatives(decision, layer, found)
    used = _used(decision)
    weights, acts = decision.pairs[layer]
    return {
        "layer": layer,
        "taken": f"w{weights}a{acts}",
        "objective": {"metric": decision.minimize, "value": used[decision.minimize]},
        "bound": found.bound,
        "budgets": [
            {
                "metric": budget.metric,
                "limit": budget.limit,
                "used": used[budget.metric],
                "price": found.prices[budget.metric],
            }
            for budget in decision.budgets
        ],
        "choices": [_choice(choice) for choice in choices],
    }


def _decision(found: Compiled | Searched, folder: Path, point: int | None) -> Decision:
    if isinstance(found, Searched):
        return _of_point(found, folder, point)
    if point is not None:
        raise UsageError(f"--point: {folder} is the folder of one plan; leave it out")
    if found.decision is None:
        raise UsageError(
            f"{folder}: no allocation was solved there, every layer has the bits that were asked for; "
            "give qtool quantize a budget, such as --max-latency 0.5x"
        )
    return found.decision


def _of_point(found: Searched, folder: Path, point: int | None) -> Decision:
    """Return a point as the answer to: the least expected loss at no more than its costs."""
    front, index = found.search.front, found.search.knee if point is None else point
    if found.problem is None:
        raise ReportError(f"{folder}: expected problem.json beside front.json; run the search again")
    if index is None or not 0 <= index < len(front):
        raise UsageError(f"--point: the front has {len(front)} points, counted from 0; found {index}")
    chosen = front[index]
    summed = [name for name in found.search.objectives[1:] if name in found.problem.metrics]
    budgets = tuple(Budget(name, chosen.cost[name]) for name in summed)
    choices = _choices(found, chosen, folder)
    return Decision(found.problem, budgets, LOSS, choices, chosen.estimate_bound)


def _choices(found: Searched, chosen: SearchPoint, folder: Path) -> tuple[int, ...]:
    pairs = {layer.name: (layer.weight_bits, layer.act_bits) for layer in chosen.layers}
    layers = found.problem.layers if found.problem else ()
    offers = [{choice.pair: at for at, choice in enumerate(layer.choices)} for layer in layers]
    named = list(zip(layers, offers, strict=True))
    if any(pairs.get(layer.name) not in offer for layer, offer in named):
        raise ReportError(f"{folder}: front.json and problem.json are of different runs; search again")
    return tuple(offer[pairs[layer.name]] for layer, offer in named)


def _used(decision: Decision) -> dict[str, float]:
    from passes.allocation.evaluate import evaluate

    loss, cost = evaluate(decision.problem, decision.choices)
    return cost | {LOSS: loss}


def _choice(entry: Alternative) -> dict[str, Any]:
    change = None if entry.loss is None else {LOSS: entry.loss, **entry.cost}
    return {
        "weight_bits": entry.choice.weight_bits,
        "act_bits": entry.choice.act_bits,
        "taken": entry.taken,
        "loss": entry.choice.loss,
        "cost": dict(entry.choice.cost),
        "change": change,
        "with": list(entry.partners),
        "exceeds": list(entry.exceeds),
        "reduced_cost": entry.reduced_cost if isfinite(entry.reduced_cost) else None,
    }


def explanation(document: dict[str, Any]) -> list[str]:
    """Return what `explain` found as sentences."""
    objective = document["objective"]
    what, value = metric_word(objective["metric"]), objective["value"]
    lines = [
        f"{document['layer']} has {document['taken']} in the plan, whose {_expected(what)} is "
        f"{_number(objective['metric'], value)}; no plan within the budgets has less than "
        f"{_number(objective['metric'], document['bound'])} (linear relaxation)."
    ]
    lines += [_budget(budget, objective["metric"]) for budget in document["budgets"]]
    if not document["budgets"]:
        lines.append("There is no budget: every layer takes what is best for the objective.")
    if len(document["choices"]) == 1:
        lines.append("It has no other choice: it is pinned, or the target runs it at nothing else.")
    lines += [_neighbour(document, *step) for step in _neighbours(document)]
    return lines


def _expected(word: str) -> str:
    return f"expected {word}" if word == LOSS else word


def _number(metric: str, value: float) -> str:
    return cost_or_number(metric, value)


def _budget(budget: dict[str, Any], objective: str) -> str:
    metric, word = budget["metric"], metric_word(budget["metric"])
    state = f"{_number(metric, budget['used'])} of {_number(metric, budget['limit'])}"
    if not budget["price"]:
        return f"The budget on {word} does not bind: {state}."
    step = 0.01 * budget["limit"]
    worth = f"{_number(objective, budget['price'] * step)} of {metric_word(objective)}"
    return f"The budget on {word} binds: {state}; 1 % more of it is worth about {worth}."


def _neighbours(document: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Return the nearest choices with fewer or more bits on one side, each with a word for it."""
    taken = next(choice for choice in document["choices"] if choice["taken"])
    found = []
    for step in NEXT:
        side, other = ("weight_bits", "act_bits") if step[0] else ("act_bits", "weight_bits")
        sign = sum(step)
        beyond = [
            choice
            for choice in document["choices"]
            if (choice[side] - taken[side]) * sign > 0 and choice[other] == taken[other]
        ]
        if beyond:
            nearest = min(beyond, key=lambda choice: abs(choice[side] - taken[side]))
            found.append((nearest, "fewer" if sign < 0 else "more"))
    return found


def _neighbour(document: dict[str, Any], choice: dict[str, Any], word: str) -> str:
    name = f"w{choice['weight_bits']}a{choice['act_bits']}"
    if choice["change"] is None:
        return f"{name} ({word} bits) cannot be had alone: layers that share its activation do not offer it."
    changes = ", ".join(_change(metric, value) for metric, value in choice["change"].items() if value)
    partners = f", with {', '.join(choice['with'])}" if choice["with"] else ""
    over = " and ".join(metric_word(metric) for metric in choice["exceeds"])
    verdict = f"over the budget on {over}" if over else "within the budgets"
    objective = document["objective"]["metric"]
    rise = _number(objective, choice["reduced_cost"])
    return (
        f"{name} ({word} bits{partners}), all else the same: {changes or 'no change'}; {verdict}. "
        f"With the others chosen anew, {metric_word(objective)} is at least {rise} above the bound."
    )


def _change(metric: str, value: float) -> str:
    sign = "+" if value > 0 else "-"
    return f"{metric_word(metric)} {sign}{_number(metric, abs(value))}"


def choices_table(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of choices."""
    rows = []
    for choice in document["choices"]:
        change, mark = choice["change"] or {}, " (taken)" if choice["taken"] else ""
        rows.append(
            {
                "choice": f"w{choice['weight_bits']}a{choice['act_bits']}{mark}",
                "loss": plain(choice["loss"]),
                **{metric_word(name): _number(name, value) for name, value in choice["cost"].items()},
                "change of loss": plain(change.get(LOSS)),
                "exceeds": ", ".join(metric_word(name) for name in choice["exceeds"]) or None,
                "reduced cost": plain(choice["reduced_cost"]),
            }
        )
    return rows
