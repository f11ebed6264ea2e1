"""A large allocation problem made from a seed, and how long the exact solver takes on it.

Run ``python benchmarks/generated_problem.py --layers 2000 --seed 0``; prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
from time import perf_counter

import numpy as np

from passes.allocation import AllocationProblem, Choice, LayerChoices, parse_budget, solver

BITS = tuple(range(2, 9))


def generated_problem(layers: int = 2000, *, seed: int = 0, share: int = 1) -> AllocationProblem:
    """Make a problem of seven by seven precisions per layer with losses and costs as in a network.

    The loss falls by about four per bit; latency rises with the product of the bits and has a floor of memory
    traffic; both carry noise, so that some choices are dominated and no two layers are alike.

    Args:
        layers: how many.
        seed: of every random number.
        share: how many neighbouring layers read the same tensor and so share their ``act_bits``.
    """
    rng = np.random.default_rng(seed)
    made = tuple(LayerChoices(f"layer{index}", _choices(rng)) for index in range(layers))
    names = [layer.name for layer in made]
    groups = tuple(tuple(names[at : at + share]) for at in range(0, layers, share)) if share > 1 else ()
    return AllocationProblem(f"generated-{layers}-{seed}", made, act_ties=groups)


def _choices(rng: np.random.Generator) -> tuple[Choice, ...]:
    weights = 10 ** rng.uniform(3, 6.5)
    macs = weights * 10 ** rng.uniform(0, 3)
    weight_loss, act_loss = 10 ** rng.uniform(-4, 0, size=2)
    choices = []
    for weight_bits in BITS:
        for act_bits in BITS:
            noise = np.exp(rng.normal(0, 0.1, size=2))
            loss = (weight_loss * 4.0**-weight_bits + act_loss * 4.0**-act_bits) * noise[0]
            latency = max(macs * weight_bits * act_bits / 64e12, weights * weight_bits / 8e10) * noise[1]
            cost = {"latency_s": float(latency), "weight_bytes": float(np.ceil(weights) * weight_bits / 8)}
            choices.append(Choice(weight_bits, act_bits, float(loss), cost))
    return tuple(choices)


def main() -> None:
    """Time the exact solver on one generated problem and print the facts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=int, default=1)
    parser.add_argument("--budget", action="append", default=None)
    options = parser.parse_args()
    problem = generated_problem(options.layers, seed=options.seed, share=options.share)
    texts = options.budget or ["latency_s=0.3f", "weight_bytes=0.4f"]
    budgets = [parse_budget(text, problem) for text in texts]
    start = perf_counter()
    found = solver("ilp").solve(problem, budgets)
    seconds = perf_counter() - start
    gap = (found.loss - found.bound) / abs(found.loss)
    facts = {"layers": options.layers, "seed": options.seed, "share": options.share, "budgets": texts}
    print(
        json.dumps(
            facts | {"status": found.status, "loss": found.loss, "gap": gap, "seconds": round(seconds, 3)}
        )
    )


if __name__ == "__main__":
    main()
