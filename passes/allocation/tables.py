"""Loss and costs of every choice as arrays, one per layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.allocation.choices import LayerChoices
    from passes.allocation.problem import AllocationProblem


def cost_tables(problem: AllocationProblem, home: Mapping[str, int]) -> list[NDArray[np.float64]]:
    """Return, per layer, the loss and the costs of its choices, shape (names, choices).

    The fixed part is in every choice of the first layer. A boundary within a component has one width at both
    ends, and is in the choices of its source.

    Args:
        problem: whose names are ``loss`` and then the cost metrics.
        home: the component of each layer.
    """
    tables = [_table(layer, problem.metrics) for layer in problem.layers]
    fixed = [problem.fixed.get(metric, 0.0) for metric in problem.metrics]
    tables[0][1:] += np.array(fixed)[:, None]
    index = {layer.name: at for at, layer in enumerate(problem.layers)}
    for boundary in problem.boundaries:
        if home[boundary.source] == home[boundary.reader]:
            at = index[boundary.source]
            widths = [choice.act_bits for choice in problem.layers[at].choices]
            costs = [[boundary.cost(bits, bits, metric) for bits in widths] for metric in problem.metrics]
            tables[at][1:] += np.array(costs).reshape(-1, len(widths))
    return tables


def _table(layer: LayerChoices, metrics: tuple[str, ...]) -> NDArray[np.float64]:
    """Return loss and costs of a layer, shape (names, choices)."""
    rows = [[choice.loss, *(choice.cost[metric] for metric in metrics)] for choice in layer.choices]
    return np.array(rows, dtype=np.float64).T
