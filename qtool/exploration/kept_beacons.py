"""Refined plans in the folder of a search: refining takes minutes where passes train, and is done once."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from passes.ir.plan import QuantPlan
from passes.ir.plan_file import read_plan, write_plan
from passes.manager import PassManager
from passes.pipeline import to_text
from passes.search.digest import samples_digest
from passes.transform.finetune import Finetune

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from passes.api import Pass, PassContext
    from passes.ir.model import Model

PLAN, CHECKPOINT = "plan.json", "checkpoint"
NAME_DIGITS = 16


@dataclass(frozen=True, slots=True)
class KeptBeacons:
    """A folder with one folder for each refined plan.

    Attributes:
        folder: of the beacons of one search.
        digest: of everything that measurements of the search depend on.
    """

    folder: Path
    digest: str

    def refined(self, model: Model, ctx: PassContext, passes: Sequence[Pass]) -> QuantPlan:
        """Return a plan as passes refine it; the one in the folder if it is there.

        A pass that trains goes on from its checkpoint when it was interrupted.

        Args:
            model: with the plan to refine; it has the refined one afterwards.
            ctx: with the data of the passes.
            passes: in order.

        Raises:
            PlanError: a plan in the folder is damaged.
        """
        place = self.folder / self._name(model, ctx, passes)
        if (place / PLAN).is_file():
            model.plan = read_plan(place / PLAN, model.sha256)
            return model.plan
        checkpoint = place.with_suffix(f".{CHECKPOINT}")
        steps = [replace(it, checkpoint=str(checkpoint)) if isinstance(it, Finetune) else it for it in passes]
        PassManager(tuple(steps)).run(model, ctx)
        temporary = place.with_suffix(".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write_plan(model.plan, temporary / PLAN, model.sha256, ctx.target.name)
        temporary.rename(place)
        checkpoint.unlink(missing_ok=True)
        return model.plan

    def _name(self, model: Model, ctx: PassContext, passes: Sequence[Pass]) -> str:
        """Return a name that no other plan, refined in another way, has."""
        data = ctx.training
        parts = [
            self.digest,
            json.dumps(model.plan.to_json(model.sha256, ctx.target.name)),
            to_text(passes),
            str(ctx.seed),
            "" if data is None else samples_digest(data),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:NAME_DIGITS]
