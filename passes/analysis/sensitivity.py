"""Sensitivity: what each layer loses at each precision of its weights and of the activation it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwmodels import FLOAT
from passes.html_table import html_table

Losses = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class SensitivityTable:
    """Loss by layer and number of bits; losses of different layers, weights and activations add up.

    Attributes:
        metric: how it was estimated.
        weights: by layer name and weight bits.
        acts: by layer name and activation bits.
    """

    metric: str
    weights: Losses
    acts: Losses

    def loss(self, layer: str, weight_bits: int, act_bits: int) -> float:
        """Return the loss of one choice: none of what stays float, or of weights where there are none."""
        act = 0.0 if act_bits == FLOAT.act_bits else self.acts[layer][act_bits]
        return self.weights.get(layer, {}).get(weight_bits, 0.0) + act

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"metric": self.metric, "weights": _plain(self.weights), "acts": _plain(self.acts)}

    def _repr_html_(self) -> str:
        sides = {"w": self.weights, "a": self.acts}
        columns = [(side, bits) for side, table in sides.items() for bits in _widths(table)]
        rows = [
            (name, *(sides[side].get(name, {}).get(bits) for side, bits in columns))
            for name in dict.fromkeys((*self.acts, *self.weights))
        ]
        head = ("layer", *(f"{side}{bits}" for side, bits in columns))
        return html_table(f"Sensitivity: {self.metric}", head, rows)


def _widths(losses: Losses) -> list[int]:
    return sorted({bits for by_bits in losses.values() for bits in by_bits})


def _plain(losses: Losses) -> dict[str, dict[str, float]]:
    return {name: {str(bits): loss for bits, loss in by_bits.items()} for name, by_bits in losses.items()}
