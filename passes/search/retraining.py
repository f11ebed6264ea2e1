"""`Retraining`: the fine-tuning of every plan before it is measured, as in the episodes of HAQ.

HAQ [arXiv 1811.08886, section 3.4] trains the model for an epoch at the bits of an episode, and rewards the
agent by the accuracy that is left then.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passes.search.digest import samples_digest

if TYPE_CHECKING:
    from passes.api import PassContext
    from passes.execution.dataset import Dataset
    from passes.ir.model import Model
    from passes.transform.finetune import Finetune


@dataclass(frozen=True, slots=True)
class Retraining:
    """How plans are trained; it can be sent to a worker.

    Every plan begins anew, at weights that are rounded by data or borrowed from a beacon.

    Attributes:
        step: the pass that trains.
        data: what it learns from.
        seed: of the order of the samples.
    """

    step: Finetune
    data: Dataset
    seed: int

    def run(self, model: Model, ctx: PassContext) -> None:
        """Train the plan of a model, in place.

        Args:
            model: its plan has scales.
            ctx: its data and seed are those of the training afterwards.

        Raises:
            UsageError: PyTorch is missing, or labels are asked for and missing.
            ModelError: the graph has nodes that cannot be run in PyTorch; the message names them.
        """
        ctx.training, ctx.seed = self.data, self.seed
        self.step.check(model, ctx)
        self.step.run(model, ctx)

    def digest(self) -> str:
        """Return the digest of all that decides what is learned."""
        parts = f"{self.step!r} {self.seed} {samples_digest(self.data)}"
        return hashlib.sha256(parts.encode()).hexdigest()
