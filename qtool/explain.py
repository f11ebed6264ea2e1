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

if TYPE_CHECKING:
    from pathlib import Path

    from passes.allocation.marginal import Alternative
    from qtool.report.search import SearchPoint


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
