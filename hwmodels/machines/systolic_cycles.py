"""How long a systolic array takes: operands are cut into folds that fill the array one after the other.

Samajdar et al., "SCALE-Sim: Systolic CNN Accelerator Simulator" (2018), and the analytic model of the paper
that followed it (ISPASS 2020): a fold takes the length of its stream, and the time to fill and drain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import PairArrays
from hwmodels.machines.tiles import products

if TYPE_CHECKING:
    from hwmodels.arrays import Floats, LayerArrays

DATAFLOWS = ("output_stationary", "weight_stationary", "input_stationary")
FULL_BITS, HALF_BITS = 8.0, 4.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Table ``[array]``: the grid of multipliers and what stays in it.

    Attributes:
        rows: rows of the grid.
        columns: columns of the grid.
        dataflow: one of `DATAFLOWS`.
        clock_hz: cycles per second.
        source: where this comes from.
    """

    rows: int
    columns: int
    dataflow: str
    clock_hz: float
    source: str


def compute_cycles(layers: LayerArrays, run: PairArrays, grid: Grid) -> Floats:
    """Return the cycles of the array at any width from 2 to 8 bits, as if operands were always there.

    At 5, 6 and 7 bits of weights they lie on the line between those of 4 and 8 bits.
    """
    low = _cycles(layers, packed_filters(layers.columns, np.minimum(run.weight, HALF_BITS)), grid)
    high = _cycles(layers, layers.columns, grid)
    share = np.clip((run.weight - HALF_BITS) / (FULL_BITS - HALF_BITS), 0, 1)
    cycles: Floats = low + share * (high - low)
    return cycles


def packed_filters(filters: Floats, bits: Floats) -> Floats:
    """Return the 8-bit filters that filters of 2, 3 or 4 bits count as.

    ``8 // bits`` narrow filters share one and one more is left over (3 bits: three share one), as in
    `RamorayDrake/AMED`, usage_extractor.py; never more than there are.
    """
    packed: Floats = np.minimum(np.floor(filters / np.ceil(FULL_BITS / bits)) + 1, filters)
    return packed


def _cycles(layers: LayerArrays, filters: Floats, grid: Grid) -> Floats:
    """Folds times the cycles of one, over all groups and separate products.

    Of the three sizes of a product (positions, filters, depth) two are spread over the grid and the third
    streams through it. Operands that stay must be loaded first, row by row; outputs that stay need no load.
    """
    apart = products(layers)
    positions = layers.rows / apart
    down, across, stream = {
        "output_stationary": (positions, filters, layers.depth),
        "weight_stationary": (layers.depth, filters, positions),
        "input_stationary": (layers.depth, positions, filters),
    }[grid.dataflow]
    load = 0 if grid.dataflow == "output_stationary" else grid.rows
    folds = np.ceil(down / grid.rows) * np.ceil(across / grid.columns)
    cycles: Floats = layers.groups * apart * folds * (load + stream + grid.rows + grid.columns - 2)
    return cycles
