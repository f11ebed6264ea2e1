from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from passes.allocation import AllocationProblem, Budget, Choice, LayerChoices, evaluate
from passes.analysis.pairwise import PairTable
from passes.search.quadratic import PairSolver, by_layer, semidefinite


def made(layers: int, rng: np.random.Generator) -> tuple[AllocationProblem, np.ndarray]:
    """Losses that are the diagonal of a semidefinite matrix, scaled by the steps of the widths."""
    root = rng.standard_normal((layers, 2))
    matrix = root @ root.T
    entries = [
        LayerChoices(
            f"l{at}",
            tuple(
                Choice(w, 8, float(matrix[at, at] * 4.0 ** (4 - w)), {"size": float(w)}) for w in (2, 4, 8)
            ),
        )
        for at in range(layers)
    ]
    return AllocationProblem("made", tuple(entries)), matrix


@pytest.mark.parametrize("seed", range(5))
def test_a_plan_is_between_its_bound_and_what_additive_losses_find(seed: int) -> None:
    problem, matrix = made(5, np.random.default_rng(seed))
    solver = PairSolver(matrix, 4)
    found = solver.solve(problem, [Budget("size", 20.0)])
    every = [c for c in product(range(3), repeat=5) if evaluate(problem, c)[1]["size"] <= 20]
    best = min(solver.value(problem, choices) for choices in every)
    additive = solver.linear.solve(problem, [Budget("size", 20.0)]).choices
    assert found.cost["size"] <= 20
    assert found.bound <= best + 1e-9
    assert best - 1e-9 <= found.loss <= solver.value(problem, additive) + 1e-9


def test_the_value_is_the_loss_of_the_sum_of_all_errors() -> None:
    problem, matrix = made(4, np.random.default_rng(0))
    steps = np.array([4.0, 1.0, 1 / 16, 4.0])
    value = PairSolver(matrix, 4).value(problem, (0, 1, 2, 0))
    assert value == pytest.approx(steps @ matrix @ steps)


def test_without_interactions_it_is_the_additive_solver() -> None:
    problem, matrix = made(5, np.random.default_rng(1))
    solver = PairSolver(np.diag(np.diag(matrix)), 4)
    found = solver.solve(problem, [Budget("size", 22.0)])
    assert found.loss == pytest.approx(solver.linear.solve(problem, [Budget("size", 22.0)]).loss)


def test_layers_without_weights_interact_with_nothing() -> None:
    table = PairTable("kl", (("b", 4), ("a", 4)), np.array([[1.0, 0.5], [0.5, 2.0]]), 8)
    assert by_layer(table, ["a", "x", "b"]).tolist() == [[2.0, 0, 0.5], [0, 0, 0], [0.5, 0, 1.0]]


def test_projection_leaves_semidefinite_matrices_and_removes_what_is_negative() -> None:
    _, matrix = made(4, np.random.default_rng(2))
    assert semidefinite(matrix) == pytest.approx(matrix)
    assert semidefinite(np.array([[1.0, 2.0], [2.0, 1.0]])) == pytest.approx(np.full((2, 2), 1.5))
