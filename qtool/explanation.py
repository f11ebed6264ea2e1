"""What `qtool.explain` found, as sentences and as a table."""

from __future__ import annotations

from typing import Any

from passes.allocation.problem import LOSS
from qtool.report.format import cost_or_number, plain
from qtool.report.headline import metric_word

NEXT = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Directions in which neighbours of a choice lie: fewer and more bits of weights, then of activations."""


def explanation(document: dict[str, Any]) -> list[str]:
    """Return what `explain` found as sentences."""
    objective = document["objective"]
    what, value = metric_word(objective["metric"]), objective["value"]
    lines = [
        f"{document['layer']} has {document['taken']} in the plan, whose {_expected(what)} is "
        f"{cost_or_number(objective['metric'], value)}; no plan within the budgets has less than "
        f"{cost_or_number(objective['metric'], document['bound'])} (linear relaxation)."
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


def _budget(budget: dict[str, Any], objective: str) -> str:
    metric, word = budget["metric"], metric_word(budget["metric"])
    state = f"{cost_or_number(metric, budget['used'])} of {cost_or_number(metric, budget['limit'])}"
    if not budget["price"]:
        return f"The budget on {word} does not bind: {state}."
    step = 0.01 * budget["limit"]
    worth = f"{cost_or_number(objective, budget['price'] * step)} of {metric_word(objective)}"
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
    rise = cost_or_number(objective, choice["reduced_cost"])
    return (
        f"{name} ({word} bits{partners}), all else the same: {changes or 'no change'}; {verdict}. "
        f"With the others chosen anew, {metric_word(objective)} is at least {rise} above the bound."
    )


def _change(metric: str, value: float) -> str:
    sign = "+" if value > 0 else "-"
    return f"{metric_word(metric)} {sign}{cost_or_number(metric, abs(value))}"


def choices_table(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of choices."""
    rows = []
    for choice in document["choices"]:
        change, mark = choice["change"] or {}, " (taken)" if choice["taken"] else ""
        rows.append(
            {
                "choice": f"w{choice['weight_bits']}a{choice['act_bits']}{mark}",
                "loss": plain(choice["loss"]),
                **{metric_word(name): cost_or_number(name, value) for name, value in choice["cost"].items()},
                "change of loss": plain(change.get(LOSS)),
                "exceeds": ", ".join(metric_word(name) for name in choice["exceeds"]) or None,
                "reduced cost": plain(choice["reduced_cost"]),
            }
        )
    return rows
