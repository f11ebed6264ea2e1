"""Brings a model into the form for which a plan was made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hwmodels import load_target
from passes.api import PassContext
from passes.ir.constants import apply_constants
from passes.ir.plan_file import read_plan
from passes.manager import PassManager
from passes.pipeline import parse

if TYPE_CHECKING:
    from pathlib import Path

    from hwmodels import HardwareModel
    from passes.ir.model import Model


def prepare(model: Model, plan: Path) -> HardwareModel:
    """Run the passes that the graph must have gone through before a plan.json fits it, and set the plan.

    Args:
        model: as read from its file; it is changed.
        plan: the file.

    Returns:
        The machine that the plan was made for.

    Raises:
        PlanError: the plan is damaged, for another model, or does not fit the prepared graph.
    """
    decided = read_plan(plan, model.sha256)
    target = load_target(str(json.loads(plan.read_text(encoding="utf-8")).get("target", "generic")))
    PassManager(parse(decided.prepared)).run(model, PassContext(target=target))
    apply_constants(model.graph, decided.constants)
    model.plan = decided
    return target
