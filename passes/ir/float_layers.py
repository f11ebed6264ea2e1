"""Layers that a plan keeps in floating point: those whose activation has 32 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodels import FLOAT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwmodels import Precision
    from passes.ir.plan import QuantPlan
    from passes.ir.setup import QuantizerSetup

FLOAT_BITS = FLOAT.act_bits
"""Width of an activation in single precision."""


def kept_float(bits: Mapping[str, Precision]) -> frozenset[str]:
    """Return the names of the layers whose activation stays in floating point."""
    return frozenset(name for name, pair in bits.items() if pair.act_bits == FLOAT_BITS)


def fitted(setup: QuantizerSetup, plan: QuantPlan) -> QuantizerSetup:
    """Return the quantizable part of a graph under a plan, which may keep layers of it in floating point."""
    return setup.fit(kept_float({name: layer.precision for name, layer in plan.layers.items()}))
