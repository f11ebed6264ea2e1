from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from passes.allocation import Boundary, joints, solver
from passes.allocation.compiled import compile_problem
from passes.allocation.core import make_core
from passes.errors import ProblemError

BACK = Boundary("b", "a", {(4, 8): {"bytes": 3.0}, (16, 8): {"bytes": 9.0}})


def test_pairs_come_after_the_layers_in_the_order_of_their_branches(two_layers):
    compiled = compile_problem(replace(two_layers, boundaries=(BACK,)))
    assert compiled.names == ("loss", "latency_s", "bytes")
    # Layer a at 8 bits and b at 4 bits is the third pair; 16 bits are not on offer.
    assert compiled.values[:, 4:].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 3, 0]]
    assert compiled.tree.component.tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
    assert compiled.links.branch.tolist() == [0, 1, 2, 3]
    assert compiled.links.link.tolist() == [[0, 0, 1, 1], [2, 3, 2, 3]]


def test_options_get_the_pair_that_belongs_to_them(two_layers):
    core = make_core(compile_problem(replace(two_layers, boundaries=(BACK,))), [], "loss")
    assert core.agreeing(np.array([1, 2])).tolist() == [1, 2, 6]
    # A pair that does not belong is replaced.
    assert core.agreeing(np.array([1, 3, 4])).tolist() == [1, 3, 7]


def test_links_survive_a_restriction(two_layers):
    core = make_core(compile_problem(replace(two_layers, boundaries=(BACK,))), [], "loss")
    keep = np.ones(8, dtype=bool)
    keep[0] = False
    small = core.restrict(keep)
    assert small.links.branch.tolist() == [-1, 0, 1, 2]
    assert small.agreeing(np.array([0, 1])).tolist() == [0, 1, 5]


def test_multipliers_of_links_cancel_for_whatever_agrees(two_layers):
    core = make_core(compile_problem(replace(two_layers, boundaries=(BACK,))), [], "bytes")
    message = np.array([0.5, -2.0, 3.0, 7.0])
    score = core.score(np.zeros(0), message)
    for taken in ([0, 2], [0, 3], [1, 2], [1, 3]):
        agreeing = core.agreeing(np.array(taken))
        assert score[agreeing].sum() == pytest.approx(core.total(agreeing))
    assert not np.allclose(score, core.value)


def test_too_many_pairs_are_refused(two_layers, monkeypatch):
    monkeypatch.setattr(joints, "MAX_PAIRS", 3)
    with pytest.raises(ProblemError, match="expected at most 3 pairs of act_bits in all of them, found 4"):
        solver("ilp").solve(replace(two_layers, boundaries=(BACK,)), [])
