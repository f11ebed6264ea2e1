"""Takes the time of every point in ONNX Runtime, round by round."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from passes.execution.profile import profile_nodes, wall_s
from passes.execution.session import Session
from qtool.probe.models import build_chain, build_model
from qtool.probe.shapes import OperatorShape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx
    from numpy.typing import NDArray

    from qtool.probe.journal import Journal
    from qtool.probe.shapes import Point

LAYOUT = frozenset({"Transpose", "ReorderInput", "ReorderOutput"})
"""Conversions of layout, which a network needs at its ends alone."""
SURROUNDINGS = frozenset({"Conv", "FusedConv", "QLinearConv"})
"""What operators without products are measured between."""

RUNS = 12
OVERHEAD = "cost of the profile per operator"
"""The key under which the journal keeps what `profile_overhead_s` finds."""
CHAIN = 48


def measure(
    points: Sequence[Point],
    rounds: int,
    threads: int,
    journal: Journal,
    tell: Callable[[str, int, int], None],
) -> None:
    """Measure what the journal lacks.

    Every round visits all points, so that a disturbance of seconds hits one round of many points rather than
    all rounds of a few.
    """
    for turn in range(rounds):
        if not journal.has(OVERHEAD, turn):
            journal.add(OVERHEAD, turn, profile_overhead_s(threads))
        for at, point in enumerate(points):
            if not journal.has(point.key, turn):
                journal.add(point.key, turn, time_point(point, threads))
            tell("probe", turn * len(points) + at + 1, rounds * len(points))


def time_point(point: Point, threads: int) -> float:
    """Return the seconds of one point, the profile's own cost included; 0 for what was fused away."""
    proto = build_model(point)
    ignored = LAYOUT | SURROUNDINGS if isinstance(point.shape, OperatorShape) else LAYOUT
    nodes = profile_nodes(proto, feeds_of(proto), RUNS, threads)
    return fsum(node.typical_s for node in nodes if node.op not in ignored)


def profile_overhead_s(threads: int) -> float:
    """Return by how much taking the time of an operator prolongs it: over a chain of tiny ones."""
    proto = build_chain(CHAIN)
    feeds = feeds_of(proto)
    nodes = profile_nodes(proto, feeds, 2 * RUNS, threads)
    [whole] = wall_s([Session(proto, threads=threads)], feeds, 4 * RUNS)
    return max(0.0, (fsum(node.typical_s for node in nodes) - whole) / len(nodes))


def feeds_of(proto: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return random inputs, the same in every run, for a model of floats or UINT8 codes."""
    rng = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for value in proto.graph.input:
        tensor = value.type.tensor_type
        shape = [size.dim_value for size in tensor.shape.dim]
        if tensor.elem_type == TensorProto.FLOAT:
            feeds[value.name] = rng.normal(size=shape).astype(np.float32)
        else:
            feeds[value.name] = rng.integers(0, 256, shape).astype(np.uint8)
    return feeds
