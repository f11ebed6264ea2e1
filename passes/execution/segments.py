"""Runs a model piece by piece over a whole data set: later pieces can depend on what earlier ones gave.

A model is cut behind chosen nodes. All samples go through one piece before the next begins, and what is
needed later waits in a `Store`: the whole data set passes the network once, however many pieces there are.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import onnx
from onnx import helper, numpy_helper

from passes.execution.feed_source import samples_in
from passes.execution.prefetch import prefetch
from passes.execution.session import Level, Session
from passes.execution.store import Store
from passes.ir.nested import inner_graphs
from passes.ir.onnx_io import MAX_IR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset
    from passes.execution.padding import Unpadded


class Segments:
    """A model on its way through a data set.

    Piece 0 is all that depends on no chosen node; piece k holds the chosen nodes that have k - 1 others above
    them, and what depends on them but on no later one.

    Attributes:
        store: what waits, by tensor name; activations behind a QuantizeLinear wait as codes.
        depths: number of the piece of every chosen node.
    """

    def __init__(self, proto: onnx.ModelProto, chosen: frozenset[str], threads: int = 0) -> None:
        """Cut a model.

        Args:
            proto: the model; its weights may be replaced piece by piece.
            chosen: names of the nodes to cut at.
            threads: for ONNX Runtime; 0 leaves their number to it.
        """
        self._proto, self._threads = proto, threads
        self._initializers = {tensor.name: tensor for tensor in proto.graph.initializer}
        self._inputs: dict[str, onnx.ValueInfoProto] = {value.name: value for value in proto.graph.input}
        self._codes = {
            node.output[0]: node for node in proto.graph.node if node.op_type == "DequantizeLinear"
        }
        self._types = {
            name: node.input[0]
            for name, node in self._codes.items()
            if node.input[0] not in self._initializers
        }
        self._operands = {
            node.name: self._types.get(node.input[0], node.input[0])
            for node in proto.graph.node
            if node.name in chosen
        }
        self._pieces, self.depths = self._cut(chosen)
        self._places = {node.name: at for at, piece in enumerate(self._pieces) for node in piece}
        self._readers = self._last_readers()
        self.store = Store()

    def _cut(self, chosen: frozenset[str]) -> tuple[list[list[onnx.NodeProto]], dict[str, int]]:
        depth: dict[str, int] = {}
        pieces: dict[int, list[onnx.NodeProto]] = {0: []}
        depths: dict[str, int] = {}
        for node in self._proto.graph.node:
            found = max((depth.get(name, 0) for name in _reads(node)), default=0) + (node.name in chosen)
            if node.name in chosen:
                depths[node.name] = found
            depth |= dict.fromkeys(node.output, found)
            # A DequantizeLinear is repeated in every piece that reads it: codes take less room than values.
            if node.output[0] not in self._types:
                pieces.setdefault(found, []).append(node)
        return [pieces[index] for index in range(len(pieces))], depths

    def _last_readers(self) -> dict[str, int]:
        """Return the last piece that reads each tensor; a DequantizeLinear counts as part of its readers."""
        last: dict[str, int] = {}
        for index, piece in enumerate(self._pieces):
            for node in piece:
                last |= {self._types.get(name, name): index for name in _reads(node)}
        return last

    def operand(self, node: str) -> str:
        """Return the name under which the first input of a chosen node waits in the store."""
        return str(self._operands[node])

    def start(
        self,
        data: Dataset | Unpadded,
        batch: int,
        replaced: Mapping[str, NDArray[Any]] = MappingProxyType({}),
        biases: Mapping[str, str] = MappingProxyType({}),
    ) -> int:
        """Send a data set through piece 0; returns the number of samples. See `advance`."""
        self.store.clear()
        run, done = self._session(0, replaced, biases), 0
        for feeds in prefetch(data.batches(batch)):
            self._run(run, 0, dict(feeds))
            done += samples_in(feeds) or 1
        return done

    def piece_of(self, node: str) -> int | None:
        """Return the piece of any node, or ``None`` for one that the model does not have."""
        return self._places.get(node)

    def advance(self, index: int, replaced: Mapping[str, NDArray[Any]], biases: Mapping[str, str]) -> None:
        """Send everything through piece `index`, of 1 and more, and forget what nobody reads any more.

        Args:
            index: of the piece.
            replaced: values for initializers.
            biases: name of the bias to add to a node that has none, by node name; with values in `replaced`.
        """
        run = self._session(index, replaced, biases)
        for feeds in self.store.batches(self._needs(index)):
            self._run(run, index, feeds)
        self.store.drop([name for name in self.store.names() if self._readers.get(name, -1) <= index])

    def _run(self, session: Session | None, index: int, feeds: dict[str, NDArray[Any]]) -> None:
        kept = {name: value for name, value in feeds.items() if index == 0 and self._readers.get(name, 0) > 0}
        if session is not None:
            needed = {name: feeds[name] for name in self._needs(index)}
            kept |= dict(zip(session.outputs, session.run(needed), strict=True))
        self.store.add(kept)

    def _needs(self, index: int) -> list[str]:
        """Return what a piece reads and does not compute, without constants."""
        piece = self._pieces[index]
        made = {name for node in piece for name in node.output}
        read = dict.fromkeys(self._types.get(name, name) for node in piece for name in _reads(node))
        return [name for name in read if name not in made and name not in self._initializers]

    def _session(
        self, index: int, replaced: Mapping[str, NDArray[Any]], biases: Mapping[str, str]
    ) -> Session | None:
        """Return a session of one piece, or ``None`` when nothing it computes is read later."""
        piece = self._pieces[index]
        outputs = [n for node in piece for n in node.output if self._readers.get(n, -1) > index]
        if not outputs:
            return None
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self._spelled_out(piece)]
        for node in nodes:
            node.input.extend([biases[node.name]] if node.name in biases else [])
        used = {name for node in nodes for name in _reads(node)}
        constants = [tensor for name, tensor in self._initializers.items() if name in used - replaced.keys()]
        constants += [
            numpy_helper.from_array(value, name) for name, value in replaced.items() if name in used
        ]
        inputs = [self._input(name) for name in self._needs(index)]
        graph = helper.make_graph(
            nodes, "piece", inputs, [onnx.ValueInfoProto(name=name) for name in outputs], constants
        )
        model = helper.make_model(
            graph, opset_imports=self._proto.opset_import, functions=self._proto.functions
        )
        model.ir_version = min(self._proto.ir_version, MAX_IR)
        return Session(model, Level.DEFAULT, self._threads, keep_floats=True)

    def _spelled_out(self, piece: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        """Yield the nodes of a piece, a DequantizeLinear before the first that reads it."""
        seen: set[str] = set()
        for node in piece:
            for name in _reads(node):
                if name in self._types and name not in seen:
                    seen.add(name)
                    yield self._codes[name]
            yield node

    def _input(self, name: str) -> onnx.ValueInfoProto:
        if name in self._inputs:
            return self._inputs[name]
        kind = helper.np_dtype_to_tensor_dtype(self.store.dtype(name))
        described: onnx.ValueInfoProto = helper.make_tensor_value_info(name, kind, None)
        return described


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, inside its bodies too."""
    yield from (name for name in node.input if name)
    for body in inner_graphs(node):
        made = {name for inner in body.node for name in inner.output} | {v.name for v in body.input}
        for inner in body.node:
            yield from (name for name in _reads(inner) if name not in made)
