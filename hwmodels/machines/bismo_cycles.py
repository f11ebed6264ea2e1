"""How long a bit-serial overlay takes: fitted to the table of cycles that HAQ published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.machines.tiles import products

if TYPE_CHECKING:
    from hwmodels.arrays import Floats, LayerArrays, PairArrays


@dataclass(frozen=True, slots=True)
class Overlay:
    """Table ``[overlay]``: an array of units that each multiply two words of single bits and count the ones.

    Attributes:
        rows: units along positions.
        columns: units along filters.
        word_bits: bits of a word, of one bit plane; memory delivers one word of either operand per cycle.
        resident_rows: positions that the buffers hold while the weights of a layer pass by once.
        clock_hz: cycles per second.
        source: where this comes from.
    """

    rows: int
    columns: int
    word_bits: int
    resident_rows: int
    clock_hz: float
    source: str


def overlay_cycles(layers: LayerArrays, run: PairArrays, stored: PairArrays, overlay: Overlay) -> Floats:
    """Return the cycles of layers: the slowest of the array, the activations and the weights.

    Depthwise layers have nothing to share, and the rate at which activations arrive bounds them alone.
    """
    words = np.ceil(layers.depth / overlay.word_bits)
    activations = layers.groups * layers.rows * words * stored.act
    busy = layers.groups * _blocks(layers, overlay) * words * run.weight * run.act
    dense = np.maximum(np.maximum(busy, activations), _weight_cycles(layers, stored, overlay))
    channels = np.ceil(layers.out_channels / overlay.columns)
    return np.where(layers.depthwise > 0, layers.rows * words * channels * stored.act, dense)


def _blocks(layers: LayerArrays, overlay: Overlay) -> Floats:
    """Blocks of outputs; positions of one image, step or product fill blocks of their own."""
    apart = np.where(layers.steps > 1, layers.steps, layers.batch)
    positions = apart * np.ceil(layers.rows / apart / overlay.rows)
    return positions * np.ceil(layers.columns / overlay.columns)


def _weight_cycles(layers: LayerArrays, stored: PairArrays, overlay: Overlay) -> Floats:
    """Weights pass by once for every block of positions that the buffers hold."""
    apart = products(layers)
    passes = apart * np.ceil(layers.rows / apart / overlay.resident_rows)
    bits = np.where(layers.rhs_elements > 0, stored.act, stored.weight)
    return layers.groups * passes * layers.depth * layers.columns * bits / overlay.word_bits
