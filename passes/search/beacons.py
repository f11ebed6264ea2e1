"""Beacons: plans that went through all passes before a search, whose weights the plans near them borrow.

MOHAQ [arXiv 2108.01192] retrains a few plans of its search, and judges others with the parameters of the
nearest of them. Here a beacon is any plan with codes: refined by `gptq`, which needs no gradients, or by
passes that train. `qtool.exploration.beacons` makes them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from passes.ir.codes import codes_bytes
from passes.transform.assign_scales import bias_floor

if TYPE_CHECKING:
    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan, TensorQuant
    from passes.ir.setup import QuantizerSetup

REACH = 1.0
"""Mean difference in bits of weights up to which a plan borrows from a beacon."""


@dataclass(frozen=True)
class Beacons:
    """Refined plans of one model.

    Attributes:
        plans: with codes.
        reach: mean difference in bits of weights up to which another plan borrows from one.
    """

    plans: tuple[QuantPlan, ...] = ()
    reach: float = REACH

    def lend(self, plan: QuantPlan, setup: QuantizerSetup) -> QuantPlan:
        """Return a plan with the codes and biases that the nearest beacon has for weights of the same bits.

        Activations that only layers with such weights read have the scale of the beacon as well.

        Args:
            plan: with scales.
            setup: the quantizable part of the graph.
        """
        near = min(self.plans, key=lambda beacon: distance(plan, beacon), default=None)
        if near is None or distance(plan, near) > self.reach:
            return plan
        tensors, biases = dict(plan.tensors), dict(plan.biases)
        borrowed = set[str]()
        for part in (part for layer in setup.layers for part in layer.parts):
            lent = near.tensors.get(part.weight_name)
            if lent is not None and _fits(part, lent, plan, setup):
                tensors[part.weight_name] = lent
                biases |= {part.name: near.biases[part.name]} if part.name in near.biases else {}
                borrowed.add(part.name)
        for group in setup.groups:
            found = near.tensors.get(group.name)
            same = found is not None and found.spec == plan.tensors[group.name].spec
            if same and group.readers and borrowed.issuperset(group.readers):
                tensors |= {name: near.tensors[name] for name in group.members}
        return replace(plan, tensors=tensors, biases=biases)

    def digest(self) -> str:
        """Return the digest of all that is lent."""
        digest = hashlib.sha256(repr(self.reach).encode())
        for plan in self.plans:
            digest.update(codes_bytes(plan.codes()))
            digest.update(repr(sorted(plan.biases.items())).encode())
            scales = [quant.params.scale.tobytes() for quant in plan.tensors.values() if quant.params]
            digest.update(b"".join(scales))
        return digest.hexdigest()


def distance(one: QuantPlan, other: QuantPlan) -> float:
    """Return the mean difference in bits of weights of two plans of one model."""
    apart = [
        abs(layer.precision.weight_bits - other.layers[name].precision.weight_bits)
        for name, layer in one.layers.items()
    ]
    return float(np.mean(apart)) if apart else 0.0


def _fits(part: Layer, lent: TensorQuant, plan: QuantPlan, setup: QuantizerSetup) -> bool:
    """Tell whether a weight of a beacon may stand in a plan: same bits, and scales that its bias fits."""
    own, act = plan.tensors.get(part.weight_name), plan.tensors.get(part.act.name)
    if own is None or lent.codes is None or lent.params is None or own.spec != lent.spec:
        return False
    least = bias_floor(part, lent, act, setup.rules[part.name].bias_bits)
    return bool((lent.params.scale >= least).all())
