"""Pairs of weights that harm each other: an integer quadratic program per budget [CLADO, arXiv 2307.05657].

The paper minimises ``x.T @ G @ x`` for the 0-1 vector x of chosen widths; G is measured two layers at a time
and projected to a semidefinite matrix. Here pairs are measured at one width; the error of a weight is
in proportion to its step, so that at other widths a cross term is scaled by ``2 ** (measured - width)`` on
either side. Single losses stay those of the problem.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from math import fsum
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.allocation.allocation import Allocation
from passes.allocation.ilp import Ilp
from passes.search.budgets import BudgetSweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.allocation.budget import Budget
    from passes.allocation.problem import AllocationProblem
    from passes.allocation.solver import Solver
    from passes.analysis.pairwise import PairTable
    from passes.search.solver import Proposals
    from passes.search.task import SearchTask

SAME_UNIT = {"kl": "kl", "noise": "sqnr"}
"""The sensitivity that counts in the unit of a table of pairs."""


@dataclass(frozen=True, slots=True)
class Quadratic:
    """One plan per budget, by single losses and interactions; measurements are not looked at.

    Attributes:
        width: at which pairs are measured.
        budgets: solved per objective, at most.
        time_limit_s: for one budget.
        batch: plans proposed at once.
    """

    width: int = 4
    budgets: int = 200
    time_limit_s: float = 10.0
    batch: int = 8

    def propose(self, task: SearchTask, rng: np.random.Generator) -> Proposals:
        """Measure pairs, then propose plans, halving the gaps between budgets.

        Raises:
            UsageError: an objective is no sum over layers, or there is no model to measure pairs on.
        """
        del rng
        task.check_sums("quadratic", budgets=False)
        knowledge = task.knows("quadratic")
        table = knowledge.pairs((self.width,))
        problem = knowledge.with_losses(SAME_UNIT[table.metric])
        names = [layer.name for layer in problem.layers]
        solver = PairSolver(semidefinite(by_layer(table, names)), self.width)
        plans = BudgetSweep(task, problem, solver, self.time_limit_s).plans(self.budgets)
        while batch := list(islice(plans, self.batch)):
            yield batch


@dataclass(frozen=True)
class PairSolver:
    """Minimises losses and interactions under budgets by successive linearization; a `Solver`.

    The objective is convex in the relaxed choice, so that no plan is better than the best one of a tangent:
    each of them, solved exactly, gives the next plan and a lower bound.

    Attributes:
        matrix: shape (layers, layers), positive semidefinite; single losses on the diagonal, which stand for
            the curvature only, and half of each interaction beside it, at `width`.
        width: bits of the weights that the matrix is for.
        linear: solves a linearization.
        rounds: linearizations, at most.
    """

    name: ClassVar[str] = "quadratic"
    matrix: NDArray[np.float64]
    width: int
    linear: Solver = field(default_factory=Ilp)
    rounds: int = 6

    def solve(
        self,
        problem: AllocationProblem,
        budgets: Sequence[Budget],
        *,
        minimize: str = "loss",
        seed: int = 0,
        time_limit_s: float = 60.0,
    ) -> Allocation:
        """Return the best plan found, with the best bound; another objective than the loss is linear.

        Raises:
            UsageError: a metric that the problem does not have.
            InfeasibleBudgetError: no choice meets the budgets.
        """
        deadline = monotonic() + time_limit_s
        found = self.linear.solve(problem, budgets, minimize=minimize, seed=seed, time_limit_s=time_limit_s)
        if minimize != "loss":
            return found
        best, bound, seen = found, -np.inf, set[tuple[int, ...]]()
        while len(seen) < self.rounds and found.choices not in seen and monotonic() < deadline:
            seen.add(found.choices)
            near, constant = self._linearize(problem, found.choices)
            left = max(deadline - monotonic(), 0.1)
            found = self.linear.solve(near, budgets, seed=seed, time_limit_s=left)
            bound = max(bound, found.bound + constant)
            if self.value(problem, found.choices) < self.value(problem, best.choices):
                best = found
        value = self.value(problem, best.choices)
        proven = bound >= value - 1e-12 * max(abs(value), 1.0)
        return replace(
            best, status="optimal" if proven else "feasible", loss=value, bound=min(float(bound), value)
        )

    def value(self, problem: AllocationProblem, choices: tuple[int, ...]) -> float:
        """Return the loss of a plan, interactions included; what ties boundaries is not."""
        taken = zip(problem.layers, choices, strict=True)
        single = fsum(layer.choices[at].loss for layer, at in taken)
        steps = self._steps(problem, choices)
        return float(single + steps @ self._cross() @ steps)

    def _cross(self) -> NDArray[np.float64]:
        return self.matrix - np.diag(np.diag(self.matrix))

    def _steps(self, problem: AllocationProblem, choices: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the step of each weight in units of the step at `width`."""
        pairs = zip(problem.layers, choices, strict=True)
        return 2.0 ** (self.width - np.array([layer.choices[at].weight_bits for layer, at in pairs], float))

    def _linearize(
        self, problem: AllocationProblem, choices: tuple[int, ...]
    ) -> tuple[AllocationProblem, float]:
        """Return the problem of the tangent at a plan, and what is to be added to its losses."""
        steps = self._steps(problem, choices)
        slope, diagonal = 2 * self.matrix @ steps, np.diag(self.matrix)
        layers = []
        for layer, rate, curve in zip(problem.layers, slope, diagonal, strict=True):
            losses = []
            for choice in layer.choices:
                step = 2.0 ** (self.width - choice.weight_bits)
                losses.append(replace(choice, loss=float(choice.loss - curve * step**2 + rate * step)))
            layers.append(replace(layer, choices=tuple(losses)))
        return replace(problem, layers=tuple(layers)), -float(steps @ self.matrix @ steps)


def by_layer(table: PairTable, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the matrix of a table of one width for some layers; those without weights get zeros."""
    place = {name: row for row, (name, _) in enumerate(table.entries)}
    rows = [place.get(name, -1) for name in names]
    padded = np.pad(table.matrix, ((0, 1), (0, 1)))
    return np.asarray(padded[np.ix_(rows, rows)])


def semidefinite(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest positive semidefinite matrix, in the Frobenius norm, to a symmetric one."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)
