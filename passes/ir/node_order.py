"""Puts nodes into an order in which each comes after what it reads, also inside of its subgraphs.

graphsurgeon's own order does not see what the body of an If, Loop or Scan reads from around it.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from passes.ir.nested import inner_graphs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import GraphProto, NodeProto


def sort_nodes(graph: GraphProto) -> None:
    """Sort the nodes of a graph and of all bodies in it, moving none without need; a cycle stays as it is."""
    for node in graph.node:
        for body in inner_graphs(node):
            sort_nodes(body)
    made = {name: at for at, node in enumerate(graph.node) for name in node.output if name}
    needs = [
        {made[name] for name in _read(node) if name in made} - {at} for at, node in enumerate(graph.node)
    ]
    if all(max(before, default=-1) < at for at, before in enumerate(needs)):
        return
    order = _order(needs)
    if len(order) == len(needs):
        nodes = [graph.node[at] for at in order]
        copies = [type(node).FromString(node.SerializeToString(deterministic=True)) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)


def _order(needs: list[set[int]]) -> list[int]:
    """Return indices so that each comes after those it needs, the smallest possible first."""
    waiting = [len(before) for before in needs]
    readers: list[list[int]] = [[] for _ in needs]
    for at, before in enumerate(needs):
        for other in before:
            readers[other].append(at)
    ready = [at for at, count in enumerate(waiting) if not count]
    order = []
    while ready:
        at = heapq.heappop(ready)
        order.append(at)
        for reader in readers[at]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    return order


def _read(node: NodeProto) -> Iterator[str]:
    """Yield the names that a node and its bodies read; names of the bodies' own are among them."""
    yield from node.input
    for body in inner_graphs(node):
        yield from (output.name for output in body.output)
        for inner in body.node:
            yield from _read(inner)
