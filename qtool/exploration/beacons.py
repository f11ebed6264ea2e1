"""What is refined in a search: beacons, which are plans of least estimated loss, and plans to be measured."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from hwmodels import Precision
from passes.allocation.ilp import Ilp
from passes.allocation.problem import LOSS
from passes.errors import UsageError
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.search.beacons import Beacons
from passes.search.budgets import BudgetSweep
from passes.search.retraining import Retraining
from passes.transform.finetune import Finetune

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.api import Pass, PassContext
    from passes.ir.model import Model
    from passes.search.task import SearchTask
    from qtool.exploration.kept_beacons import KeptBeacons
    from qtool.exploration.request import SearchRequest

TIME_S = 5.0
"""For the plan of one beacon."""


def retraining(request: SearchRequest, ctx: PassContext) -> Retraining | None:
    """Return how every plan is trained before it is measured, if it is."""
    if not request.finetune:
        return None
    step = Finetune(steps=request.finetune, label_offset=request.base.label_offset)
    return Retraining(step, ctx.training, request.base.seed)


def trainers(request: SearchRequest) -> tuple[Finetune, ...]:
    """Return the passes that train, behind those that need no gradients; none without data to learn from."""
    if request.train is None:
        return ()
    return (Finetune(steps=request.train_steps, label_offset=request.base.label_offset),)


def light_beacons(
    model: Model, ctx: PassContext, task: SearchTask, rest: Sequence[Pass], count: int, kept: KeptBeacons
) -> Beacons:
    """Refine some plans of least estimated loss, those that an earlier search has not refined already.

    Args:
        model: after the passes that come before allocation; its plan is changed.
        ctx: with calibration data.
        task: says what the plans are for.
        rest: the passes behind the allocation.
        count: plans to refine.
        kept: where they are from one search to the next.

    Raises:
        UsageError: a pass changes the weights that other plans are measured with, or no cost is a sum.
    """
    if late := [step.name for step in rest if step.keeps_constants]:
        raise UsageError(f"--beacons: {late[0]} changes weights for one plan; put it before allocate")
    summed = tuple(name for name in task.objectives[1:] if name not in task.not_summed)
    if not summed:
        raise UsageError("--beacons lie along a cost that is a sum over layers; add one to --objectives")
    setup = quantizer_setup(model.graph, ctx.target)
    limited = frozenset(budget.metric for budget in task.budgets)
    along = replace(task, objectives=(LOSS, *summed), not_summed=task.not_summed & limited)
    plans = []
    for choices in islice(BudgetSweep(along, task.problem, Ilp(), TIME_S).plans(count), count):
        picked = zip(task.problem.layers, choices, strict=True)
        bits = {layer.name: Precision(*layer.choices[index].pair) for layer, index in picked}
        model.plan = plan_of_bits(setup, bits)
        plans.append(kept.refined(model, ctx, rest))
        ctx.progress("beacons", len(plans), count)
    return Beacons(tuple(plans))
