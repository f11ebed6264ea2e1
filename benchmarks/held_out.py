"""Solvers at equal cost and equal numbers of evaluations, judged on samples that no plan was chosen on.

    python benchmarks/held_out.py --data ../shared/data [--solvers sweep,ompq,amed] [--seeds 0,1,2,3,4]

Every solver measures as many plans on calibration samples; its plan of least loss within a share of the
latency of uniform 8 bits is run on the evaluation samples. Differences to the sweep of the exact solver are
paired by sample; their 95 % intervals count samples and, for solvers with randomness, seeds: the variances
of both means add up. Writes benchmarks/results/held_out.json.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from environment import environment
from evaluation import bits_of, run
from numpy.typing import NDArray
from scipy.stats import t
from search import CASES, FIXED, Case, opened

from passes.search.driver import SearchResult
from passes.search.measurer import Measurer
from passes.search.solver import search_solver
from passes.search.task import SearchTask

RESULTS = Path(__file__).resolve().parent / "results" / "held_out.json"
EVAL = {"resnet20-latency": "cifar10/eval.npz", "kws-latency": "audio/kws_eval.npz"}
EVALUATIONS, SAMPLES = 100, 250
SHARES = (0.4, 0.5, 0.6)
AGAINST = "sweep"
LEVEL = 0.95


@dataclass
class Hits:
    """Top-1, which remembers the samples that were right."""

    name: str = "top1"
    right: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __call__(
        self, outputs: Sequence[NDArray[Any]], reference: Sequence[NDArray[Any]], truth: NDArray[np.int64]
    ) -> float:
        """Return the share of samples whose largest output is the label."""
        del reference
        self.right = (outputs[0].reshape(len(truth), -1).argmax(1) == truth).astype(np.float64)
        return float(self.right.mean())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--solvers", default=f"{AGAINST},ompq,amed")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    options = parser.parse_args()
    document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for case in (case for case in CASES if case.name in EVAL):
        seeds = [int(seed) for seed in options.seeds.split(",")]
        found = compare(replace(case, samples=min(case.samples, SAMPLES)), options, seeds)
        document[case.name] = found | {"environment": environment()}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def compare(case: Case, options: argparse.Namespace, seeds: list[int]) -> dict[str, Any]:
    """Return what every solver is worth on one problem."""
    found = opened(case, options.data)
    held_out, hits = found.other(EVAL[case.name]), Hits()
    judge = Measurer(replace(held_out, metric=hits))
    right: dict[str, dict[str, list[NDArray[np.float64]]]] = defaultdict(lambda: defaultdict(list))
    for name in options.solvers.split(","):
        for seed in seeds[: 1 if name in FIXED else None]:
            result = run(found.task, found.payload, search_solver(name), EVALUATIONS, seed=seed)
            for share in SHARES:
                choices = best_within(found.task, result, share)
                if choices is not None:
                    judge.measure(bits_of(found.task, choices))
                    right[name][str(share)].append(hits.right)
            print(
                case.name, name, seed, {key: rows[-1].mean() for key, rows in right[name].items()}, flush=True
            )
    return {
        "target": case.target,
        "evaluations": EVALUATIONS,
        "samples": found.payload.data.count,
        "eval_samples": held_out.data.count,
        "float": held_out.float_value,
        "solvers": {
            name: {share: versus(rows[share], right[AGAINST][share]) for share in rows}
            for name, rows in right.items()
        },
    }


def best_within(task: SearchTask, result: SearchResult, share: float) -> tuple[int, ...] | None:
    """Return the plan of least loss on the samples of the search within a share of the cost of 8 bits."""
    cost = task.objectives[1]
    limit = share * task.costs(task.space.uniform(8))[cost]
    within = [point for point in result.front if point.get(cost) <= limit]
    return min(within, key=lambda point: point.loss).choices if within else None


def versus(rows: list[NDArray[np.float64]], exact: list[NDArray[np.float64]]) -> dict[str, Any]:
    """Return the accuracy of each seed, and the mean difference to the sweep with its interval."""
    table = np.array(rows)
    seeds, samples = table.shape
    difference = table.mean(axis=0) - exact[0]
    variance, freedom = difference.var(ddof=1) / samples, float(samples - 1)
    if seeds > 1:
        # Few seeds: their own degrees of freedom, by Welch and Satterthwaite.
        between = table.mean(axis=1).var(ddof=1) / seeds
        freedom = (variance + between) ** 2 / max(
            variance**2 / (samples - 1) + between**2 / (seeds - 1), 1e-300
        )
        variance += between
    half = float(t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variance)) if variance else 0.0
    return {
        "top1": [float(value) for value in table.mean(axis=1)],
        "difference": float(difference.mean()),
        "half_interval": half,
    }


if __name__ == "__main__":
    main()
