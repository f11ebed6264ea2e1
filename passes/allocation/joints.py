"""Boundaries between components as pairs of branches: what each pair costs, and the links that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.allocation.links import Links, no_links
from passes.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from numpy.typing import NDArray

    from passes.allocation.boundaries import Boundary
    from passes.allocation.problem import AllocationProblem

    Joints: TypeAlias = Mapping[tuple[int, int], list[Boundary]]

MAX_PAIRS = 1 << 22
"""Most pairs of widths over all joints: what a network of 80,000 boundaries between seven widths has."""


@dataclass(frozen=True, slots=True)
class PairTable:
    """The pairs of all joints, joint after joint, the branches of the lower component changing slowest.

    Attributes:
        values: shape (names, pairs); loss, which is zero, and costs.
        joint: shape (pairs,), the joint of each pair.
        links: with the pairs numbered behind the branches that they join.
    """

    values: NDArray[np.float64]
    joint: NDArray[np.intp]
    links: Links


def find_joints(problem: AllocationProblem, home: Mapping[str, int]) -> Joints:
    """Return, by pair of components in rising order, the boundaries between them.

    Args:
        problem: boundaries within a component, which depend on one width, are left out.
        home: the component of each layer.
    """
    joints: dict[tuple[int, int], list[Boundary]] = {}
    for boundary in problem.boundaries:
        ends = home[boundary.source], home[boundary.reader]
        if ends[0] != ends[1]:
            key = (min(ends), max(ends))
            joints.setdefault(key, []).append(boundary)
    return dict(sorted(joints.items()))


def pair_table(
    joints: Joints,
    home: Mapping[str, int],
    metrics: tuple[str, ...],
    component: NDArray[np.intp],
    act_bits: NDArray[np.intp],
) -> PairTable:
    """Price every pair of branches that a joint has.

    Args:
        joints: as from `find_joints`.
        home: the component of each layer.
        metrics: of the problem.
        component: shape (branches,), not decreasing.
        act_bits: shape (branches,), the width that a branch stands for.

    Raises:
        ProblemError: there are more than `MAX_PAIRS`.
    """
    starts = np.searchsorted(component, np.arange(len(component) + 1))
    ends = [[np.arange(starts[end], starts[end + 1]) for end in key] for key in joints]
    sizes = np.array([len(low) * len(high) for low, high in ends], dtype=np.intp)
    if sizes.sum() > MAX_PAIRS:
        raise ProblemError(
            f"boundaries: expected at most {MAX_PAIRS} pairs of act_bits in all of them, found {sizes.sum()}"
        )
    values = [np.zeros((1 + len(metrics), 0))]
    for (key, boundaries), (low, high) in zip(joints.items(), ends, strict=True):
        costs = sum(
            _costs(boundary, act_bits[low], act_bits[high], metrics)
            if home[boundary.source] == key[0]
            else _costs(boundary, act_bits[high], act_bits[low], metrics).transpose(0, 2, 1)
            for boundary in boundaries
        )
        values.append(np.reshape(costs, (1 + len(metrics), -1)))
    joint = np.repeat(np.arange(len(sizes)), sizes)
    return PairTable(np.concatenate(values, axis=1), joint, _links(ends, len(component)))


def _costs(
    boundary: Boundary, source: NDArray[np.intp], reader: NDArray[np.intp], metrics: tuple[str, ...]
) -> NDArray[np.float64]:
    """Return loss and costs between given widths, shape (names, source widths, reader widths)."""
    costs = np.zeros((1 + len(metrics), len(source), len(reader)))
    places = {(a, b): (i, j) for i, a in enumerate(source.tolist()) for j, b in enumerate(reader.tolist())}
    for bits in boundary.costs.keys() & places.keys():
        costs[1:, *places[bits]] = [boundary.cost(*bits, metric) for metric in metrics]
    return costs


def _links(ends: list[list[NDArray[np.intp]]], branches: int) -> Links:
    """Number the links: for each joint the branches of one end, then those of the other."""
    if not ends:
        return no_links()
    link, first = [], 0
    for low, high in ends:
        at_low, at_high = np.indices((len(low), len(high))).reshape(2, -1)
        link.append(first + np.array([at_low, len(low) + at_high]))
        first += len(low) + len(high)
    joined = np.concatenate(link, axis=1)
    branch = np.concatenate([end for pair in ends for end in pair])
    return Links(branch, branches + np.arange(joined.shape[1]), joined)
