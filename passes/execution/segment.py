"""A model in segments: stretches of its nodes whose constants take no more than a limit."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import onnx
from onnx import helper

from passes.execution.session import Session
from passes.execution.stages import read_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

_PASSABLE = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, onnx.TensorProto.UNDEFINED})
"""Element types that leave ONNX Runtime and come back as numpy arrays; unknown ones are taken for such."""

SMALLEST = 64
"""Constants of less than this part of the limit, as gains of normalizations, are no reason to cut."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes that run in one session.

    Attributes:
        nodes: in topological order.
        reads: names of the tensors that come from before, inputs of the model included.
        results: names of the tensors that are read behind it, outputs of the model included.
    """

    nodes: tuple[onnx.NodeProto, ...]
    reads: tuple[str, ...]
    results: tuple[str, ...]

    def open(self, model: onnx.ModelProto, examples: Mapping[str, NDArray[Any]], threads: int) -> Session:
        """Load it, with the constants that it reads.

        Args:
            model: that it was cut from.
            examples: a value of each tensor that it reads.
            threads: for ONNX Runtime; 0 leaves their number to it.

        Raises:
            ModelError: ONNX Runtime refuses it.
        """
        graph, used = model.graph, {name for node in self.nodes for name in read_names(node)}
        infos = {it.name: it for it in (*graph.value_info, *graph.input, *graph.output)}
        part = onnx.GraphProto(name="segment", node=self.nodes)
        part.initializer.extend(it for it in graph.initializer if it.name in used)
        part.sparse_initializer.extend(it for it in graph.sparse_initializer if it.values.name in used)
        part.input.extend(_described(name, examples[name], infos.get(name)) for name in self.reads)
        part.output.extend(infos.get(name, onnx.ValueInfoProto(name=name)) for name in self.results)
        made = {name for node in self.nodes for name in node.output} - set(self.results)
        part.value_info.extend(infos[name] for name in sorted(made & infos.keys()))
        proto = helper.make_model(part, opset_imports=model.opset_import, functions=model.functions)
        proto.ir_version = model.ir_version
        return Session(proto, threads=threads)


def cut(model: onnx.ModelProto, limit: int) -> tuple[Segment, ...]:
    """Cut a model so that the constants of a segment take at most `limit` bytes, or it is a single node.

    It is cut in front of the node whose constants are too many: in front of a product with a weight, so that
    what ONNX Runtime fuses behind one stays together. Where something else than a tensor of numbers would
    cross, as a sequence, it is not cut.
    """
    flow = _Flow(model.graph)
    points, held, size = [0], set[str](), 0
    for at, names in enumerate(flow.reads):
        wanted = {name for name in names if name in flow.sizes}
        more = sum(flow.sizes[name] for name in wanted - held)
        if held and size + more > limit and more * SMALLEST > limit and flow.open(at):
            points.append(at)
            held, size, more = set(), 0, sum(flow.sizes[name] for name in wanted)
        held |= wanted
        size += more
    return tuple(flow.segment(*bounds) for bounds in zip(points, [*points[1:], len(flow.nodes)], strict=True))


class _Flow:
    """Which node makes a tensor, and which is the last to read it."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.sizes = {it.name: _bytes(it) for it in graph.initializer}
        self.sizes |= {it.values.name: _bytes(it.values) for it in graph.sparse_initializer}
        self.nodes = _late_constants(list(graph.node), self.sizes)
        self.reads = [set(read_names(node)) for node in self.nodes]
        self._made = {value.name: -1 for value in graph.input if value.name not in self.sizes}
        self._last: dict[str, int] = {}
        for at, node in enumerate(self.nodes):
            self._made |= {name: at for name in node.output if name}
            self._last |= dict.fromkeys(self.reads[at], at)
        self._last |= {value.name: len(self.nodes) for value in graph.output}
        infos = (*graph.value_info, *graph.input)
        self._barred = {it.name for it in infos if it.type.tensor_type.elem_type not in _PASSABLE}
        self._barred |= {it.name for it in infos if it.type.WhichOneof("value") not in (None, "tensor_type")}

    def open(self, at: int) -> bool:
        """Tell whether what is made before a node and read from it on are tensors of numbers."""
        made, last = self._made, self._last
        return not any(made.get(name, at) < at <= last.get(name, -1) for name in self._barred)

    def segment(self, start: int, stop: int) -> Segment:
        """Return the nodes between two points."""
        read = {name for names in self.reads[start:stop] for name in names}
        before = sorted(name for name in read if self._made.get(name, start) < start)
        inside = [name for node in self.nodes[start:stop] for name in node.output if name]
        results = [name for name in inside if self._last.get(name, -1) >= stop]
        return Segment(tuple(self.nodes[start:stop]), tuple(before), tuple(results))


def _late_constants(nodes: list[onnx.NodeProto], constants: Mapping[str, int]) -> list[onnx.NodeProto]:
    """Move nodes that read nothing but constants, as DequantizeLinear of weights, in front of a reader."""
    waiting: dict[str, onnx.NodeProto] = {}
    ordered: list[onnx.NodeProto] = []

    def place(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        for name in read_names(node):
            if name in waiting:
                maker = waiting[name]
                for output in maker.output:
                    waiting.pop(output, None)
                yield from place(maker)
        yield node

    for node in nodes:
        if all(name in constants or name in waiting for name in read_names(node)):
            waiting |= dict.fromkeys(filter(None, node.output), node)
        else:
            ordered.extend(place(node))
    left = {id(node): node for node in waiting.values()}
    return ordered + list(left.values())


def _bytes(tensor: onnx.TensorProto) -> int:
    return int(prod(tensor.dims)) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _described(name: str, example: NDArray[Any], known: onnx.ValueInfoProto | None) -> onnx.ValueInfoProto:
    """Return type and shape of a tensor: the shape that the model gives, unless an example contradicts it."""
    shape = None
    if known is not None and known.type.tensor_type.HasField("shape"):
        dims = [dim.dim_value or dim.dim_param or None for dim in known.type.tensor_type.shape.dim]
        fits = len(dims) == example.ndim and all(
            not isinstance(dim, int) or dim == size for dim, size in zip(dims, example.shape, strict=True)
        )
        shape = dims if fits else None
    kind = helper.np_dtype_to_tensor_dtype(example.dtype)
    described: onnx.ValueInfoProto = helper.make_tensor_value_info(name, kind, shape)
    return described
