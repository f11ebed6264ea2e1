"""A problem without a model whose measured loss is not quite what the additive estimate says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from passes.allocation import AllocationProblem, Choice, LayerChoices
from passes.search.point import Choices, Evaluation

WIDTHS = (2, 4, 8)
LAYERS = 5
NOISE = {2: 0.05, 4: 0.01, 8: 0.0}


def make_problem(layers: int = LAYERS, *, shared: bool = True) -> AllocationProblem:
    """Layers of unlike size and harm; the last two read the same activation."""
    entries = []
    for layer in range(layers):
        choices = [
            Choice(w, a, (layer + 1) * (NOISE[w] + NOISE[a] / 2), {"latency_s": (2.0**layer) * w * a / 64})
            for w in WIDTHS
            for a in WIDTHS
        ]
        entries.append(LayerChoices(f"l{layer}", tuple(choices)))
    ties = ((f"l{layers - 2}", f"l{layers - 1}"),) if shared else ()
    return AllocationProblem("made", tuple(entries), (), ties)


@dataclass
class Stub:
    """Measures by a formula: the estimate, and something on top where neighbours are both narrow."""

    problem: AllocationProblem
    seen: list[Choices] = field(default_factory=list)
    failing: frozenset[Choices] = frozenset()

    def measure(self, batch: Sequence[Choices]) -> Iterator[tuple[Choices, Evaluation]]:
        for choices in batch:
            self.seen.append(choices)
            if choices in self.failing:
                yield choices, Evaluation.failed("made to fail")
            else:
                yield choices, Evaluation(1.0 - self.loss(choices), 100)

    def loss(self, choices: Choices) -> float:
        taken = [layer.choices[at] for layer, at in zip(self.problem.layers, choices, strict=True)]
        pairs = pairwise(taken)
        return sum(one.loss for one in taken) + 0.02 * sum(
            a.weight_bits == 2 and b.weight_bits == 2 for a, b in pairs
        )


def deadly(outputs: Any, reference: Any, labels: Any) -> float:
    """A metric that ends its process where outputs are far off, as a crash in native code would."""
    del reference
    share = float(np.mean(outputs[0].argmax(1) == labels))
    if share < 0.95:
        os._exit(7)
    return share
