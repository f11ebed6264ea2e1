"""`ClampWeights`: outliers among the weights cost all others resolution; this pass cuts them off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from passes.ir.layers import find_layers
from qtool import Aspect, Model, Pass, PassContext, PassResult


@dataclass(frozen=True)
class ClampWeights(Pass):
    """Clamp the weights of every layer to a few standard deviations around zero.

    Attributes:
        deviations: where to cut.
    """

    name: ClassVar[str] = "clamp-weights"
    deviations: float = 4.0

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Clamp in place."""
        layers, _ = find_layers(model.graph)
        changed = 0
        for layer in layers:
            values = np.asarray(layer.weight.values)
            limit = self.deviations * float(values.std())
            clamped = np.clip(values, -limit, limit).astype(values.dtype)
            if not np.array_equal(clamped, values):
                layer.weight.values = clamped
                changed += 1
        wrote = Aspect.WEIGHTS if changed else Aspect.NONE
        return PassResult(wrote, f"outliers cut off in {changed} layers", {"layers": changed})
