"""What the target accepts: its rules for every layer, and the layers that it does not run at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodels import Rules, UnsupportedError
from passes.errors import ModelError
from passes.ir.layers import Layer, Unquantized
from passes.ir.workload import workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwmodels import HardwareModel

ANYTHING = Rules(())
"""What holds where there is no target, or where the geometry of a layer is not known yet."""


def obey(
    layers: Sequence[Layer], target: HardwareModel | None
) -> tuple[tuple[Layer, ...], dict[str, Rules], tuple[Unquantized, ...]]:
    """Split layers into those that a target runs, with its rules by name, and those that it refuses."""
    rules: dict[str, Rules] = {}
    refused = []
    for layer in layers:
        try:
            rules[layer.name] = _rules(layer, target)
        except UnsupportedError as error:
            refused.append(Unquantized(layer.name, layer.op, str(error)))
    return tuple(layer for layer in layers if layer.name in rules), rules, tuple(refused)


def _rules(layer: Layer, target: HardwareModel | None) -> Rules:
    if target is None:
        return ANYTHING
    try:
        return target.rules(workload(layer))
    except ModelError:
        return ANYTHING
