"""A network of convolutions with conversions between them, made from a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from generated_problem import BITS, generated_problem

from passes.allocation import AllocationProblem, Boundary


def generated_network(layers: int, *, seed: int = 0, skip: int = 3, weight: float = 0.1) -> AllocationProblem:
    """Join every layer to the next one, and every `skip`-th to the one `skip` further on, as residuals do.

    Args:
        layers: how many.
        seed: of every random number.
        skip: 0 for a plain chain.
        weight: what a conversion costs by and large, as a share of what a layer costs.
    """
    problem = generated_problem(layers, seed=seed)
    rng = np.random.default_rng(seed)
    middle = float(np.median([one.cost["latency_s"] for it in problem.layers for one in it.choices]))
    joined = [(at, at + 1) for at in range(layers - 1)]
    joined += [(at, at + skip) for at in range(0, layers - skip, skip)] if skip else []
    boundaries = []
    for source, reader in joined:
        scale = weight * middle * float(rng.lognormal())
        # Elementwise work that grows with both widths, and a conversion where they differ.
        costs = {(a, b): {"latency_s": scale * ((a + b) / 16 + (a != b))} for a in BITS for b in BITS}
        boundaries.append(Boundary(problem.layers[source].name, problem.layers[reader].name, costs))
    return replace(problem, boundaries=tuple(boundaries), fixed={"latency_s": middle})
