"""`Boundary`: what it costs that two layers take the widths of activation that they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from passes.allocation.json_fields import as_bits, as_cost, as_items, as_number, as_object, as_text, refuse
from passes.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True, slots=True)
class Boundary:
    """Work between two layers, such as the conversion of a tensor, that depends on the ``act_bits`` of both.

    Attributes:
        source: the layer before the boundary.
        reader: the layer after it, another one.
        costs: by ``(act_bits of source, act_bits of reader)`` and by metric, finite and not negative, in the
            unit that the metric's name says; what is absent costs nothing.
    """

    source: str
    reader: str
    costs: Mapping[tuple[int, int], Mapping[str, float]]

    def cost(self, source_bits: int, reader_bits: int, metric: str) -> float:
        """Return what the boundary costs between two widths."""
        return self.costs.get((source_bits, reader_bits), {}).get(metric, 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this boundary."""
        costs = [
            {"from_bits": bits[0], "to_bits": bits[1], "cost": dict(cost)}
            for bits, cost in sorted(self.costs.items())
        ]
        return {"from": self.source, "to": self.reader, "costs": costs}

    @classmethod
    def from_json(cls, value: object, where: str) -> Boundary:
        """Read a boundary; `where` names its place in messages. Raises `ProblemError`."""
        entry = as_object(value, where)
        source, reader = (as_text(entry.get(key), f"{where}.{key}") for key in ("from", "to"))
        costs: dict[tuple[int, int], dict[str, float]] = {}
        for item, at in as_items(entry.get("costs"), f"{where}.costs"):
            row = as_object(item, at)
            bits = (
                as_bits(row.get("from_bits"), f"{at}.from_bits"),
                as_bits(row.get("to_bits"), f"{at}.to_bits"),
            )
            if bits in costs:
                raise refuse(at, "each pair of from_bits and to_bits once", bits)
            costs[bits] = as_cost(row.get("cost"), f"{at}.cost")
        return cls(source, reader, costs)


def check_boundary(boundary: Boundary, layers: Collection[str], metrics: Collection[str], where: str) -> None:
    """Refuse a boundary that does not fit the layers and metrics of a problem.

    Raises:
        ProblemError: naming `where` and what is wrong.
    """
    for key, name in (("from", boundary.source), ("to", boundary.reader)):
        if name not in layers:
            raise refuse(f"{where}.{key}", "the name of a layer", name)
    if boundary.source == boundary.reader:
        raise refuse(f"{where}.to", "another layer than in from", boundary.reader)
    for bits, cost in boundary.costs.items():
        check_partial_cost(cost, metrics, f"{where}, {bits[0]} to {bits[1]} bits")


def check_partial_cost(cost: Mapping[str, float], metrics: Collection[str], where: str) -> None:
    """Refuse costs by metric, not all of which need be there, that are unknown, not finite or negative.

    Raises:
        ProblemError: naming `where` and the metric.
    """
    for metric, value in cost.items():
        if metric not in metrics:
            raise ProblemError(
                f"{where}: the choices have no metric {metric!r}; they have {', '.join(metrics)}"
            )
        if as_number(value, f"{where}, {metric}") < 0:
            raise refuse(f"{where}, {metric}", "a cost that is not negative", value)
