"""Blocks: stretches of a graph that are reconstructed together, found wherever few tensors cross.

A block boundary is a place in the order of nodes that exactly one activation crosses: an articulation point
of the graph. Residual blocks, fire modules and the halves of a transformer layer lie between two such places
by themselves; layers in a chain are put together, as the three of an inverted residual without a shortcut.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.training.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from passes.ir.layers import Layer

CHAIN = 3
"""Layers of a chain that make a block: an inverted residual has three."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive nodes.

    Attributes:
        name: its layers, for messages.
        layers: in graph order.
        produced: names of all tensors that it writes.
        entries: activations and inputs of the graph that must be known to compute it.
        exits: activations that later blocks read, or that the results of the graph come from.
    """

    name: str
    layers: tuple[Layer, ...]
    produced: frozenset[str]
    entries: tuple[str, ...]
    exits: tuple[str, ...]


def find_blocks(graph: gs.Graph, layers: Sequence[Layer], scope: Scope, limit: int) -> tuple[Block, ...]:
    """Divide a graph into blocks.

    Args:
        graph: in topological order.
        layers: those that will be reconstructed; every block has at least one.
        scope: blocks, or one layer at a time.
        limit: a block of more layers than this is cut into its layers.

    Returns:
        All blocks in graph order; none when there are no layers.
    """
    if not layers:
        return ()
    crossing = _Crossing(graph, layers)
    order = {node.name: at for at, node in enumerate(graph.nodes)}
    places = sorted(order[layer.name] for layer in layers)
    narrow = {at for at in range(len(graph.nodes)) if len(crossing.at(at)) <= 1}
    regions = _regions(places, narrow)
    groups = _grouped(regions, limit) if scope is Scope.BLOCK else [[place] for place in places]
    starts = [0, *(group[0] for group in groups[1:]), len(graph.nodes)]
    by_place = {order[layer.name]: layer for layer in layers}
    stretches = [
        (tuple(by_place[place] for place in group), graph.nodes[start:end])
        for group, (start, end) in zip(groups, pairwise(starts), strict=True)
    ]
    return _blocks(graph, stretches, crossing)


def whole_block(graph: gs.Graph, layers: Sequence[Layer]) -> Block:
    """Return all of a graph as one block, whose exits are its results; its inputs count as produced."""
    entries, exits = (tuple(tensor.name for tensor in ends) for ends in (graph.inputs, graph.outputs))
    produced = frozenset(tensor.name for node in graph.nodes for tensor in node.outputs).union(entries)
    return Block("the model", tuple(layers), produced, entries, exits)


class _Crossing:
    """Which activations are needed behind each place of the order of nodes."""

    def __init__(self, graph: gs.Graph, layers: Sequence[Layer]) -> None:
        self._graph = graph
        self._fixed = all(isinstance(dim, int) for tensor in graph.inputs for dim in (tensor.shape or [""]))
        driven = {layer.name for layer in layers}
        self._roots: dict[str, frozenset[str]] = {
            tensor.name: frozenset([tensor.name]) for tensor in graph.inputs
        }
        self._inputs = frozenset(self._roots)
        self._made: dict[str, int] = {}
        self._last: dict[str, int] = {}
        behind = set[str]()
        for at, node in enumerate(graph.nodes):
            roots = self.roots(tensor.name for tensor in node.inputs)
            self._last.update(dict.fromkeys(roots, at))
            carried = node.name in driven or any(tensor.name in behind for tensor in node.inputs)
            behind |= {tensor.name for tensor in node.outputs} if carried else set()
            for tensor in node.outputs:
                kept = carried and self._storable(tensor)
                self._roots[tensor.name] = frozenset([tensor.name]) if kept else roots
                self._made[tensor.name] = at

    def roots(self, names: Iterable[str]) -> frozenset[str]:
        """Return what must be known to compute tensors: stored activations, and inputs of the graph."""
        return frozenset().union(*(self._roots.get(name, frozenset()) for name in names))

    def at(self, place: int) -> list[str]:
        """Return the activations that are computed up to a place and read behind it."""
        made = ((name, self._made[name]) for name in self._last if name not in self._inputs)
        return [name for name, start in made if start <= place < self._last[name]]

    def _storable(self, tensor: gs.Tensor) -> bool:
        """True for floats whose first axis runs over samples, so that samples can be taken out."""
        first = tensor.shape[0] if tensor.shape else None
        return tensor.dtype == np.float32 and (self._fixed or isinstance(first, str))


def _regions(places: list[int], narrow: set[int]) -> list[list[int]]:
    """Return the places of layers, divided where one activation crosses between two of them."""
    regions = [[places[0]]]
    for before, after in pairwise(places):
        if any(at in narrow for at in range(before, after)):
            regions.append([after])
        else:
            regions[-1].append(after)
    return regions


def _grouped(regions: list[list[int]], limit: int) -> list[list[int]]:
    """Join layers of a chain; a region with branches takes those before it while they fit."""
    groups: list[list[int]] = []
    chain: list[int] = []
    for region in regions:
        if len(region) > 1:
            spare = max(CHAIN - len(region), 0)
            head, tail = chain[: len(chain) - spare], chain[len(chain) - spare :] if spare else []
            groups += [head] if head else []
            whole = [*tail, *region]
            groups += [whole] if len(whole) <= limit else [[place] for place in whole]
            chain = []
        else:
            chain += region
            if len(chain) == min(CHAIN, limit):
                groups, chain = [*groups, chain], []
    return [*groups, chain] if chain else groups


def _blocks(
    graph: gs.Graph, stretches: list[tuple[tuple[Layer, ...], list[gs.Node]]], crossing: _Crossing
) -> tuple[Block, ...]:
    blocks: list[Block] = []
    later = crossing.roots(tensor.name for tensor in graph.outputs)
    for layers, nodes in reversed(stretches):
        produced = frozenset(tensor.name for node in nodes for tensor in node.outputs)
        read = crossing.roots(tensor.name for node in nodes for tensor in node.inputs)
        exits = sorted(produced & later)
        name = " + ".join(layer.name for layer in layers)
        blocks.append(Block(name, layers, produced, tuple(sorted(read - produced)), tuple(exits)))
        later |= read
    return _joined(list(reversed(blocks)))


def _joined(blocks: list[Block]) -> tuple[Block, ...]:
    """Join blocks that leave nothing that samples could be taken out of to those behind them."""
    joined: list[Block] = []
    for block in blocks:
        if joined and not joined[-1].exits:
            first = joined.pop()
            entries = {*first.entries, *block.entries} - first.produced
            joined.append(
                Block(
                    f"{first.name} + {block.name}",
                    first.layers + block.layers,
                    first.produced | block.produced,
                    tuple(sorted(entries)),
                    block.exits,
                )
            )
        else:
            joined.append(block)
    return tuple(joined)
