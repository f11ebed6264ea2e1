"""Groups of layers that decide together: unions of ties, and components of groups joined by act ties."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from passes.allocation.choices import LayerChoices


def tied_groups(layers: Sequence[LayerChoices], ties: Iterable[Sequence[str]]) -> tuple[tuple[int, ...], ...]:
    """Return the groups of layer indices that take the same pair; a free layer is a group of its own."""
    index = {layer.name: at for at, layer in enumerate(layers)}
    return _unions(len(layers), ([index[name] for name in tie] for tie in ties))


def components(
    layers: Sequence[LayerChoices], groups: Sequence[tuple[int, ...]], act_ties: Iterable[Sequence[str]]
) -> tuple[tuple[int, ...], ...]:
    """Return the sets of indices into `groups` whose members take the same ``act_bits``."""
    home = {layers[member].name: at for at, group in enumerate(groups) for member in group}
    return _unions(len(groups), ([home[name] for name in tie] for tie in act_ties))


def joint_options(layers: Sequence[LayerChoices], group: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return what a group can do: per option, the index of the choice that each member takes.

    Raises:
        ProblemError: the members share no pair, or a tied layer offers a pair twice.
    """
    members = [layers[member] for member in group]
    if len(members) == 1:
        return tuple((at,) for at in range(len(members[0].choices)))
    offers = [_by_pair(layer) for layer in members]
    options = tuple(
        tuple(offer[pair] for offer in offers) for pair in offers[0] if all(pair in offer for offer in offers)
    )
    if not options:
        names = ", ".join(layer.name for layer in members)
        raise ProblemError(f"ties: the layers {names} share no (weight_bits, act_bits)")
    return options


def _by_pair(layer: LayerChoices) -> dict[tuple[int, int], int]:
    offer = {choice.pair: at for at, choice in enumerate(layer.choices)}
    if len(offer) < len(layer.choices):
        raise ProblemError(
            f"layer {layer.name!r} is tied but offers the same (weight_bits, act_bits) twice; keep one"
        )
    return offer


def _unions(count: int, joins: Iterable[list[int]]) -> tuple[tuple[int, ...], ...]:
    parent = list(range(count))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for first, *others in (join for join in joins if join):
        for other in others:
            low, high = sorted((root(first), root(other)))
            parent[high] = low
    members: dict[int, list[int]] = {}
    for at in range(count):
        members.setdefault(root(at), []).append(at)
    return tuple(tuple(group) for group in members.values())
