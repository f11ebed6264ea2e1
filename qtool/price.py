"""The price of a list of layers on a machine, without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwmodels import network_cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwmodels import Cost, HardwareModel, Precision, Workload

QUANTITIES = ("cycles", "latency_s", "energy_j", "weight_bytes", "bops")


def price_layers(machine: HardwareModel, layers: Sequence[Workload], precision: Precision) -> dict[str, Any]:
    """Price layers that all run at one precision.

    Returns:
        The document that ``qtool targets price --json`` prints; what is not estimated is ``None``.

    Raises:
        UnsupportedError: the machine cannot run a layer at the precision.
    """
    priced = network_cost(machine, layers, [precision] * len(layers))
    rows = [
        {"layer": work.name, "priced_as": str(cost.priced_as)} | _row(cost)
        for work, cost in zip(layers, priced.layers, strict=True)
    ]
    return {"target": machine.name, "precision": str(precision), "layers": rows, "total": _row(priced.total)}


def _row(cost: Cost) -> dict[str, float | None]:
    return {quantity: getattr(cost, quantity) for quantity in QUANTITIES}
