"""A float model in stages: run it from any point to any other, and change tensors on the way.

What must be known to go on from a point between two nodes are the tensors that were computed before it and
are read after it, its frontier. A run that differs from another from some point on starts there, from the
frontier that both share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.helper import make_model, make_tensor_value_info

from passes.errors import ModelError
from passes.execution.session import Level, Session
from passes.ir.nested import inner_graphs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    Values = dict[str, NDArray[Any]]
    Edit = Callable[[Values], Values]
    """Returns new values of tensors, from those of a frontier."""

STAGES = 16
"""Stages that a run to the end goes through; more of them share more sessions, fewer fuse more operators."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What is different in a run.

    Attributes:
        edits: changes of tensors, by the point at which they are made.
        constants: other values of constants, by name.
    """

    edits: Mapping[int, Edit] = field(default_factory=dict)
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __or__(self, other: Variant) -> Variant:
        """Return a run with the changes of both, which are at different points."""
        return Variant({**self.edits, **other.edits}, {**self.constants, **other.constants})


@dataclass(frozen=True, slots=True)
class _Stage:
    session: Session
    reads: tuple[str, ...]


class StagedModel:
    """A float model; points are numbers of nodes that have run, from 0 to all.

    Sessions are built at first use and kept; constants are shared out among them, not multiplied.
    """

    def __init__(self, proto: onnx.ModelProto, threads: int = 0, stages: int = STAGES) -> None:
        """Find the frontiers.

        Args:
            proto: the float model, its nodes in topological order; it is not changed.
            threads: for ONNX Runtime; 0 leaves their number to it.
            stages: number of parts that a run to the end has.
        """
        self._proto, self._threads = proto, threads
        self._nodes = list(proto.graph.node)
        self._constants = {init.name: init for init in proto.graph.initializer}
        infos = (*proto.graph.value_info, *proto.graph.input, *proto.graph.output)
        self._infos = {info.name: info for info in infos}
        self._inputs = tuple(info.name for info in proto.graph.input if info.name not in self._constants)
        self._outputs = tuple(info.name for info in proto.graph.output)
        self._reads = [tuple(read_names(node)) for node in self._nodes]
        self._frontiers = self._find_frontiers()
        self._bounds = self._find_bounds(stages)
        self._stages: dict[tuple[int, int, frozenset[str]], _Stage] = {}

    @property
    def end(self) -> int:
        """The point after the last node."""
        return len(self._nodes)

    def after(self, tensor: str) -> int:
        """Return the first point at which a tensor is known; 0 for an input of the model.

        Raises:
            ModelError: no node writes it.
        """
        if tensor in self._inputs:
            return 0
        found = next((at for at, node in enumerate(self._nodes) if tensor in node.output), None)
        if found is None:
            raise ModelError(f"expected a node that writes tensor {tensor!r}, found none")
        return found + 1

    def reader(self, constant: str) -> int:
        """Return the number of the first node that reads a constant.

        Raises:
            ModelError: no node does.
        """
        found = next((at for at, names in enumerate(self._reads) if constant in names), None)
        if found is None:
            raise ModelError(f"expected a node that reads constant {constant!r}, found none")
        return found

    def advance(
        self, values: Values, start: int, stop: int, constants: Mapping[str, NDArray[Any]] | None = None
    ) -> Values:
        """Run the nodes between two points.

        Args:
            values: at least the frontier at `start`.
            start: a point.
            stop: a later one, or the same.
            constants: other values of constants, by name.

        Returns:
            The frontier at `stop`.

        Raises:
            ModelError: ONNX Runtime refuses the part of the model.
        """
        wanted = self._frontiers[stop]
        if all(name in values for name in wanted):
            return {name: values[name] for name in wanted}
        read = {name for names in self._reads[start:stop] for name in names}
        fed = {name: array for name, array in (constants or {}).items() if name in read}
        stage = self._stage(start, stop, frozenset(fed))
        results = stage.session.run({name: values[name] for name in stage.reads} | fed)
        known = values | dict(zip(stage.session.outputs, results, strict=True))
        return {name: known[name] for name in wanted}

    def finish(self, values: Values, start: int, variant: Variant | None = None) -> list[NDArray[Any]]:
        """Run from a point to the end.

        Args:
            values: the frontier at `start`.
            start: a point.
            variant: changes on the way; those before `start` are not made.

        Returns:
            The outputs of the model.
        """
        variant = variant or Variant()
        at = start
        for point in self._stops(start, variant):
            values = self.advance(values, at, point, variant.constants)
            if point in variant.edits:
                values = values | variant.edits[point](values)
            at = point
        return [
            values[name] if name in values else numpy_helper.to_array(self._constants[name])
            for name in self._outputs
        ]

    def _stops(self, start: int, variant: Variant) -> list[int]:
        """Return the points at which a run pauses: a node with other constants runs by itself."""
        readers = [
            at for at, names in enumerate(self._reads) if not variant.constants.keys().isdisjoint(names)
        ]
        around = {point for at in readers for point in (at, at + 1)}
        pauses = {at for at in around | variant.edits.keys() if at >= start}
        return sorted(pauses | {at for at in self._bounds if at > start})

    def _find_frontiers(self) -> list[tuple[str, ...]]:
        """Return what is known before and read after each point, results of the model included."""
        written = [set(self._inputs)]
        for node in self._nodes:
            written.append(written[-1] | {name for name in node.output if name})
        needed = set(self._outputs)
        frontiers = [tuple(sorted(needed & written[-1]))]
        for at in reversed(range(self.end)):
            needed |= set(self._reads[at])
            frontiers.append(tuple(sorted(needed & written[at])))
        return frontiers[::-1]

    def _find_bounds(self, stages: int) -> tuple[int, ...]:
        """Return the points between stages: of each stretch of nodes the one of the smallest frontier."""
        edges = np.linspace(0, self.end, max(stages, 1) + 1).round().astype(int)
        inner = [
            min(range(low + 1, high + 1), key=lambda at: (len(self._frontiers[at]), -at))
            for low, high in pairwise(edges[:-1])
            if high > low
        ]
        return (*dict.fromkeys(inner), self.end)

    def _stage(self, start: int, stop: int, fed: frozenset[str]) -> _Stage:
        if (start, stop, fed) not in self._stages:
            self._stages[start, stop, fed] = self._build(start, stop, fed)
        return self._stages[start, stop, fed]

    def _build(self, start: int, stop: int, fed: frozenset[str]) -> _Stage:
        nodes = self._nodes[start:stop]
        read = {name for names in self._reads[start:stop] for name in names}
        inside = {name for node in nodes for name in node.output}
        known = {name for name in self._frontiers[start] if name in read}
        results = [name for name in self._frontiers[stop] if name in inside]
        constants = [self._constants[name] for name in sorted(read & self._constants.keys() - fed)]
        graph = onnx.GraphProto(name=f"{start}-{stop}", node=nodes, initializer=constants)
        graph.input.extend(self._info(name) for name in sorted(known))
        given = [self._constants[name] for name in sorted(fed)]
        graph.input.extend(make_tensor_value_info(it.name, it.data_type, list(it.dims)) for it in given)
        graph.output.extend(self._info(name) for name in results)
        proto = make_model(graph, opset_imports=self._proto.opset_import)
        proto.ir_version = self._proto.ir_version
        proto.functions.extend(self._proto.functions)
        session = Session(proto, Level.DEFAULT, self._threads, small=True)
        return _Stage(session, tuple(sorted(known)))

    def _info(self, name: str) -> onnx.ValueInfoProto:
        """Return type and shape of a tensor; where nothing is known it is taken for float32."""
        known: onnx.ValueInfoProto | None = self._infos.get(name)
        if known is not None and known.HasField("type"):
            return known
        return make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)


def read_names(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, those that the bodies of If, Loop and Scan capture included."""
    yield from (name for name in node.input if name)
    for body in inner_graphs(node):
        for inner in body.node:
            yield from read_names(inner)
