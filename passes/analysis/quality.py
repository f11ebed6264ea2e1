"""How far a sensitivity can be trusted: predicted against measured loss of random plans, by rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels import Precision
from passes.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from passes.analysis.sensitivity import SensitivityTable
    from passes.ir.setup import QuantizerSetup

LOWEST, WIDEST = (3, 4, 5, 6), 8
"""The least width of a random plan is drawn first, so that plans range from hardly harmed to useless."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """Agreement of two rankings, from -1 to 1; 0 where either side is constant.

    Attributes:
        spearman: correlation of ranks.
        kendall: share of pairs in the same order less the share in the other (tau-b).
    """

    spearman: float
    kendall: float


def rank_correlation(predicted: Sequence[float], measured: Sequence[float]) -> Correlation:
    """Compare two rankings of the same plans; equal losses share the mean of their ranks.

    Both are cosines of what orders the plans: signs of the differences of all pairs, and their sums for each
    plan, which are its ranks around the middle one [Daniels 1944, Biometrika 33(2)].

    Raises:
        UsageError: there are fewer than two plans, or unlike numbers of them.
    """
    if len(predicted) != len(measured) or len(predicted) < 2:
        raise UsageError(f"expected two plans or more, found {len(predicted)} and {len(measured)} losses")
    losses = np.array([predicted, measured], np.float64)
    ranks, pairs = np.empty_like(losses), np.zeros((2, 2))
    # A plan at a time: all pairs at once would not fit into memory for the plans of a long search.
    for at, own in enumerate(losses.T[:, :, np.newaxis]):
        # Compared, not subtracted: the loss of a ruined plan may be infinite.
        signs = (own > losses) * 1.0 - (own < losses)
        ranks[:, at] = signs.sum(1)
        pairs += signs @ signs.T
    return Correlation(_cosine(ranks @ ranks.T), _cosine(pairs))


def _cosine(products: NDArray[np.float64]) -> float:
    """Return the cosine of two vectors by their inner products, of shape (2, 2); 0 where one is zero."""
    lengths = math.sqrt(products[0, 0]) * math.sqrt(products[1, 1])
    return float(products[0, 1]) / lengths if lengths else 0.0


def random_bits(setup: QuantizerSetup, rng: np.random.Generator) -> dict[str, Precision]:
    """Draw widths of all weights and activations, each evenly from the plan's least width to 8 bits.

    Args:
        setup: the quantizable part of the graph; readers of one tensor get one width.
        rng: source of randomness.
    """
    low = int(rng.choice(LOWEST))
    acts = {
        name: int(bits)
        for group in setup.groups
        for bits in [rng.integers(low, WIDEST + 1)]
        for name in group.readers
    }
    drawn: NDArray[np.int64] = rng.integers(low, WIDEST + 1, len(setup.layers))
    return {
        layer.name: Precision(int(bits) if layer.weight is not None else acts[layer.name], acts[layer.name])
        for layer, bits in zip(setup.layers, drawn, strict=True)
    }


def predicted_loss(table: SensitivityTable, bits: Mapping[str, Precision]) -> float:
    """Return the sum of the losses that a table expects of a plan."""
    return math.fsum(table.loss(name, pair.weight_bits, pair.act_bits) for name, pair in bits.items())
