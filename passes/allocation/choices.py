"""`Choice` and `LayerChoices`: the precisions that one layer may take, each with a loss and a cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from passes.allocation.json_fields import as_bits, as_cost, as_items, as_number, as_object, as_text


@dataclass(frozen=True, slots=True)
class Choice:
    """One precision that a layer may take.

    Attributes:
        weight_bits: bits per weight.
        act_bits: bits per element of the activation that the layer reads.
        loss: harm done to the network; finite, any unit, added over layers.
        cost: by metric, finite and not negative, in the unit that the metric's name says; added over layers.
    """

    weight_bits: int
    act_bits: int
    loss: float
    cost: Mapping[str, float]

    @property
    def pair(self) -> tuple[int, int]:
        """``(weight_bits, act_bits)``: what tied layers share."""
        return self.weight_bits, self.act_bits

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this choice."""
        bits = {"weight_bits": self.weight_bits, "act_bits": self.act_bits}
        return bits | {"loss": self.loss, "cost": dict(self.cost)}

    @classmethod
    def from_json(cls, value: object, where: str) -> Choice:
        """Read a choice; `where` names its place in messages. Raises `ProblemError`."""
        entry = as_object(value, where)
        bits = [as_bits(entry.get(key), f"{where}.{key}") for key in ("weight_bits", "act_bits")]
        loss = as_number(entry.get("loss"), f"{where}.loss")
        return cls(bits[0], bits[1], loss, as_cost(entry.get("cost"), f"{where}.cost"))


@dataclass(frozen=True, slots=True)
class LayerChoices:
    """A layer and the precisions it may take, of which it takes exactly one."""

    name: str
    choices: tuple[Choice, ...]

    @classmethod
    def from_json(cls, value: object, where: str) -> LayerChoices:
        """Read a layer; `where` names its place in messages. Raises `ProblemError`."""
        entry = as_object(value, where)
        name = as_text(entry.get("name"), f"{where}.name")
        place = f"{where} ({name}).choices"
        return cls(
            name, tuple(Choice.from_json(item, at) for item, at in as_items(entry.get("choices"), place))
        )
