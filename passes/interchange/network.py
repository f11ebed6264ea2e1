"""`Network`: a graph as a protobuf, with its constants, its producers and its readers at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from passes.ir.nested import inner_graphs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

CODES_SUFFIXES = (".q", "_quantized", "_QuantizeLinear_Output", "_quantize")
"""Endings that quantizers give to the integers made of a tensor."""


class Network:
    """An editable graph; edits go through its methods, which keep the indices right.

    Attributes:
        proto: the model; it is changed.
        outputs: names of the results of the model.
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        """Index a model."""
        self.proto = proto
        self.outputs = {output.name for output in proto.graph.output}
        self._constants = {init.name: init for init in proto.graph.initializer}
        for node in proto.graph.node:
            value = next((it.t for it in node.attribute if it.name == "value" and it.HasField("t")), None)
            if node.op_type == "Constant" and value is not None:
                self._constants[node.output[0]] = value
        self._taken = {name for node in proto.graph.node for name in (*read_names(node), *node.output)}
        self._taken |= {value.name for value in proto.graph.input} | set(self._constants) | self.outputs
        self.index()

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes of the main graph, in order."""
        return list(self.proto.graph.node)

    def index(self) -> None:
        """Find producers and readers anew, after an edit of nodes."""
        self.producer = {name: node for node in self.proto.graph.node for name in node.output if name}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.proto.graph.node:
            for name in dict.fromkeys(read_names(node)):
                self._readers.setdefault(name, []).append(node)

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that read a tensor, bodies of control flow included."""
        return self._readers.get(name, [])

    def sole_reader(self, name: str) -> onnx.NodeProto | None:
        """Return the only node that reads a tensor, or ``None``; a result of the model is read outside."""
        found = self.readers(name)
        return found[0] if len(found) == 1 and name not in self.outputs else None

    def is_constant(self, name: str) -> bool:
        """Tell whether the values of a tensor are in the file."""
        return name in self._constants

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the values of a constant, or ``None`` when they are computed."""
        found = self._constants.get(name)
        return None if found is None else numpy_helper.to_array(found)

    def constant_type(self, name: str) -> int:
        """Return the element type of a constant; 0 when it is none."""
        found = self._constants.get(name)
        return 0 if found is None else int(found.data_type)

    def add_constant(self, name: str, values: NDArray[Any]) -> str:
        """Add an initializer; return its name, which differs from ``name`` where that is taken."""
        name = self.fresh(name)
        self._constants[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        self.proto.graph.initializer.append(self._constants[name])
        return name

    def fresh(self, name: str) -> str:
        """Return a name that nothing else has, and take it."""
        found, count = name, 1
        while found in self._taken:
            found, count = f"{name}.{count}", count + 1
        self._taken.add(found)
        return found

    def base_name(self, codes: str) -> str | None:
        """Return the name of the tensor that integers were made of, told from theirs and still free."""
        for suffix in CODES_SUFFIXES:
            name = codes.removesuffix(suffix)
            if name and name != codes and name not in self._taken:
                return name
        return None

    def redirect(self, renamed: Mapping[str, str]) -> None:
        """Let every reader of a tensor read another one, in bodies of control flow as well."""
        for node in self.proto.graph.node:
            _redirect(node, renamed)
        self.index()

    def replace(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Set the nodes of the graph, in order."""
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        names: set[str] = set()
        for count, node in enumerate(copies):
            node.name = f"{node.name}.{count}" if node.name in names else node.name
            names.add(node.name)
        del self.proto.graph.node[:]
        self.proto.graph.node.extend(copies)
        self.index()

    def drop_unread(self, candidates: Collection[str]) -> None:
        """Drop Constant nodes and initializers among the candidates that nothing reads any more."""
        dead = {name for name in candidates if not self.readers(name) and name not in self.outputs}
        graph = self.proto.graph
        kept = [
            onnx.TensorProto.FromString(init.SerializeToString())
            for init in graph.initializer
            if init.name not in dead
        ]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        self.replace(
            node for node in self.nodes if node.op_type != "Constant" or not dead.issuperset(node.output)
        )


def read_names(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, also those that its bodies capture."""
    yield from (name for name in node.input if name)
    for body in inner_graphs(node):
        for inner in body.node:
            yield from read_names(inner)


def _redirect(node: onnx.NodeProto, renamed: Mapping[str, str]) -> None:
    for index, name in enumerate(node.input):
        node.input[index] = renamed.get(name, name)
    for body in inner_graphs(node):
        for inner in body.node:
            _redirect(inner, renamed)
