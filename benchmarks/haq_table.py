"""HAQ's published policy against the exact solver, on HAQ's own table of cycles.

    python benchmarks/haq_table.py --data ../shared/data

HAQ (CVPR 2019) searched MobileNetV2 at 0.6x the latency of 8 bits. Within that budget the solver looks for
the policy with the most bits of which no layer has fewer than HAQ's, on either side. Writes
benchmarks/results/haq_table.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from passes.allocation import Allocation, AllocationProblem, Budget, Choice, LayerChoices, solver

sys.path.insert(0, str(Path(__file__).resolve().parent))

from environment import environment

RESULTS = Path(__file__).resolve().parent / "results" / "haq_table.json"
BUDGET = 0.600
WIDEST = 8

Pair = tuple[int, int]


def read_table(data: Path) -> tuple[np.ndarray, list[Pair]]:
    """Return cycles of [layer][weight bits - 1][activation bits - 1], and HAQ's policy.

    HAQ leaves the first layer's input alone, written as -1: it is an image of 8 bits.
    """
    fixtures = data / "fixtures"
    cycles = np.load(fixtures / "haq_mobilenetv2_bismo_cloud_cycles.npy")
    policy = json.loads((fixtures / "haq_mobilenetv2_policy.json").read_text())["policy"]
    return cycles, [(weight, act if act > 0 else WIDEST) for weight, act in policy]


def covering_problem(cycles: np.ndarray, policy: list[Pair]) -> AllocationProblem:
    """Offer every layer the pairs that cover its pair of the policy; the loss is the bits missing to 8."""
    whole = cycles[:, WIDEST - 1, WIDEST - 1].sum()
    layers = tuple(
        LayerChoices(f"layer{at}", tuple(_choices(table / whole, pair)))
        for at, (table, pair) in enumerate(zip(cycles, policy, strict=True))
    )
    return AllocationProblem("HAQ, MobileNetV2", layers)


def _choices(shares: np.ndarray, least: Pair) -> list[Choice]:
    return [
        Choice(
            weight,
            act,
            float(2 * WIDEST - weight - act),
            {"latency_share": float(shares[weight - 1, act - 1])},
        )
        for weight in range(least[0], WIDEST + 1)
        for act in range(least[1], WIDEST + 1)
    ]


def compare(cycles: np.ndarray, policy: list[Pair]) -> dict[str, Any]:
    """Solve, and return both policies with their costs relative to 8 bits."""
    problem = covering_problem(cycles, policy)
    found = solver("ilp").solve(problem, [Budget("latency_share", BUDGET)])
    pairs = chosen(problem, found)
    rows = np.arange(len(policy))
    weights, acts = np.array(policy).T
    return {
        "budget": BUDGET,
        "status": found.status,
        "haq_cost": float(cycles[rows, weights - 1, acts - 1].sum() / cycles[:, -1, -1].sum()),
        "found_cost": found.cost["latency_share"],
        "added_weight_bits": sum(new[0] - old[0] for new, old in zip(pairs, policy, strict=True)),
        "added_act_bits": sum(new[1] - old[1] for new, old in zip(pairs, policy, strict=True)),
        "raised_layers": sum(new != old for new, old in zip(pairs, policy, strict=True)),
        "haq_policy": policy,
        "found_policy": pairs,
    }


def chosen(problem: AllocationProblem, found: Allocation) -> list[Pair]:
    """Return the pair of every layer."""
    return [layer.choices[at].pair for layer, at in zip(problem.layers, found.choices, strict=True)]


def main() -> None:
    """Compare, print and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    result = compare(*read_table(parser.parse_args().data))
    RESULTS.write_text(json.dumps({"environment": environment(), "result": result}, indent=1) + "\n")
    print(
        f"HAQ {result['haq_cost']:.4f}, found {result['found_cost']:.4f} with "
        f"+{result['added_weight_bits']} weight and +{result['added_act_bits']} activation bits "
        f"in {result['raised_layers']} layers ({result['status']})"
    )


if __name__ == "__main__":
    main()
