from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from made_problem import make_problem

from passes.allocation import AllocationProblem, Choice, LayerChoices, evaluate
from passes.search.space import SearchSpace


@given(st.integers(0, 2**32 - 1))
def test_every_genome_is_a_plan_and_every_plan_has_a_genome(seed: int) -> None:
    problem, rng = make_problem(), np.random.default_rng(seed)
    space = SearchSpace(problem)
    genome = space.neighbour(space.draw(rng), rng, 2)
    choices = space.decode(genome)
    evaluate(problem, choices)
    assert space.encode(choices) == genome


def test_layers_that_share_an_activation_share_its_gene(problem: AllocationProblem) -> None:
    space = SearchSpace(problem)
    shared = [gene.layers for gene in space.genes if gene.acts]
    assert shared == [(0,), (1,), (2,), (3, 4)]
    assert len(space.genes) == 4 + 5


def test_a_pair_that_the_target_does_not_run_becomes_the_nearest_one_that_it_does() -> None:
    pairs = [(4, 4), (8, 8), (2, 8)]
    layer = LayerChoices("l", tuple(Choice(w, a, 0.0, {"c": 1.0}) for w, a in pairs))
    space = SearchSpace(AllocationProblem("one", (layer,)))
    acts, weights = space.genes
    assert (acts.widths, weights.widths) == ((4, 8), (2, 4, 8))
    assert [pairs[space.decode((0, gene))[0]] for gene in range(3)] == [(4, 4)] * 3
    assert [pairs[space.decode((1, gene))[0]] for gene in range(3)] == [(2, 8), (2, 8), (8, 8)]


def test_uniform_and_widest_plans(problem: AllocationProblem) -> None:
    space = SearchSpace(problem)
    taken = [layer.choices[at].pair for layer, at in zip(problem.layers, space.uniform(5), strict=True)]
    assert taken == [(4, 4)] * 5
    assert space.widest() == space.uniform(8) == space.uniform(16)


def test_a_neighbour_differs_by_one_width_in_one_gene(problem: AllocationProblem) -> None:
    space, rng = SearchSpace(problem), np.random.default_rng(1)
    for _ in range(50):
        genome = space.draw(rng)
        moves = np.abs(np.subtract(space.neighbour(genome, rng), genome))
        assert moves.sum() == moves.max() == 1
