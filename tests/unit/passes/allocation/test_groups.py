from __future__ import annotations

from passes.allocation import Choice, LayerChoices
from passes.allocation.groups import components, joint_options, tied_groups


def _layer(name, *pairs):
    return LayerChoices(name, tuple(Choice(w, a, 0.0, {}) for w, a in pairs))


LAYERS = [
    _layer("a", (4, 4), (8, 8)),
    _layer("b", (8, 8), (2, 2), (4, 4)),
    _layer("c", (4, 8)),
    _layer("d", (8, 8)),
]


def test_overlapping_ties_are_one_group():
    assert tied_groups(LAYERS, [("a", "b"), ("d", "b"), ()]) == ((0, 1, 3), (2,))


def test_joint_options_are_the_shared_pairs():
    assert joint_options(LAYERS, (0, 1)) == ((0, 2), (1, 0))
    assert joint_options(LAYERS, (1,)) == ((0,), (1,), (2,))


def test_components_join_groups_by_any_member():
    groups = tied_groups(LAYERS, [("a", "b")])
    assert components(LAYERS, groups, [("b", "d")]) == ((0, 2), (1,))
