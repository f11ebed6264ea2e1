"""Instrumented models: a float model with extra outputs that reduce activations where they are computed.

Reductions and samples run inside ONNX Runtime, so that only small arrays leave it and fusions stay intact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from passes.ir.onnx_io import opset_of, to_proto
from passes.ir.opsets import raise_opset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.ir.model import Model

SAMPLE_ELEMENTS = 1024
"""Elements of each tensor that leave ONNX Runtime per sample, for histograms."""
_STEPPED_SLICE_OPSET = 13
_AXES_INPUT_OPSET = 18


@dataclass(frozen=True)
class Wanted:
    """Tensors to observe.

    Attributes:
        ranged: whose minimum and maximum are wanted.
        sampled: of which a sample is wanted, with their number of elements per sample.
        means: whose channel means are wanted, with the axes to reduce.
        full: wanted whole.
        images: those of shape (N, C, H, W), with H and W where they are known and 1 where not. They are
            reduced by pooling, which ONNX Runtime does in the blocked layout of its convolutions.
        non_negative: those that cannot be negative, whose minimum is not worth computing.
    """

    ranged: tuple[str, ...] = ()
    sampled: Mapping[str, int] = field(default_factory=dict)
    means: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    full: tuple[str, ...] = ()
    images: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    non_negative: frozenset[str] = frozenset()


@dataclass
class Probes:
    """What is asked of an instrumented model: output names by the tensor they describe.

    Attributes:
        low: minima, of any shape, over the batch.
        high: maxima, of any shape, over the batch.
        sample: an evenly strided sample of the elements, of any shape.
        mean: mean of each channel: shape (channels,), or (batch, channels, 1, 1).
        full: the tensor itself.
    """

    low: dict[str, str] = field(default_factory=dict)
    high: dict[str, str] = field(default_factory=dict)
    sample: dict[str, str] = field(default_factory=dict)
    mean: dict[str, str] = field(default_factory=dict)
    full: dict[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return every output, once."""
        groups = (self.low, self.high, self.sample, self.mean, self.full)
        return list(dict.fromkeys(name for group in groups for name in group.values()))


def instrument(model: Model, wanted: Wanted) -> tuple[onnx.ModelProto, Probes]:
    """Return the float model with probes as its only outputs, and their names."""
    proto = to_proto(model)
    if opset_of(proto) < _STEPPED_SLICE_OPSET and wanted.sampled:
        proto = raise_opset(proto, _STEPPED_SLICE_OPSET)
    known = {value.name: value for value in (*proto.graph.input, *proto.graph.output)}
    del proto.graph.output[:]
    builder, settled = _Builder(proto, wanted), len(proto.graph.node)
    for name in wanted.ranged:
        builder.add_range(name)
    for name, elements in wanted.sampled.items():
        builder.add_sample(name, elements)
    for name, axes in wanted.means.items():
        builder.add_mean(name, axes)
    _behind_sources(proto.graph, settled)
    for name in wanted.full:
        builder.probes.full[name] = name
        proto.graph.output.append(known[name]) if name in known else _output(proto.graph, name)
    return proto, builder.probes


class _Builder:
    """Appends reductions to a graph."""

    def __init__(self, proto: onnx.ModelProto, wanted: Wanted) -> None:
        self._graph, self._wanted, self._opset = proto.graph, wanted, opset_of(proto)
        self.probes = Probes()

    def add_range(self, name: str) -> None:
        """Observe minimum and maximum."""
        if name not in self._wanted.non_negative:
            self.probes.low[name] = self._node("ReduceMin", [name], f"{name}.low", keepdims=0)
        if name in self._wanted.images:
            self.probes.high[name] = self._node("GlobalMaxPool", [name], f"{name}.high")
        else:
            self.probes.high[name] = self._node("ReduceMax", [name], f"{name}.high", keepdims=0)

    def add_sample(self, name: str, elements: int) -> None:
        """Observe every k-th element, or in an image every k-th row and column."""
        size = self._wanted.images.get(name)
        if size is None:
            self._add_flat_sample(name, max(1, elements // SAMPLE_ELEMENTS) | 1)
            return
        step = min(max(1, round((elements / SAMPLE_ELEMENTS) ** 0.5)), *size)
        self.probes.sample[name] = self._node(
            "MaxPool", [name], f"{name}.sample", kernel_shape=[1, 1], strides=[step, step]
        )

    def _add_flat_sample(self, name: str, step: int) -> None:
        values = {"flat": -1, "start": 0, "end": np.iinfo(np.int64).max, "axis": 0, "step": step}
        names = {key: self._constant(f"{name}.sample.{key}", [value]) for key, value in values.items()}
        flat = self._node("Reshape", [name, names["flat"]], f"{name}.flat", probe=False)
        slicing = [flat, names["start"], names["end"], names["axis"], names["step"]]
        self.probes.sample[name] = self._node("Slice", slicing, f"{name}.sample")

    def add_mean(self, name: str, axes: tuple[int, ...]) -> None:
        """Observe the mean of each channel."""
        if name in self._wanted.images:
            self.probes.mean[name] = self._node("GlobalAveragePool", [name], f"{name}.mean")
        elif self._opset < _AXES_INPUT_OPSET:
            self.probes.mean[name] = self._node(
                "ReduceMean", [name], f"{name}.mean", axes=list(axes), keepdims=0
            )
        else:
            inputs = [name, self._constant(f"{name}.mean.axes", list(axes))]
            self.probes.mean[name] = self._node("ReduceMean", inputs, f"{name}.mean", keepdims=0)

    def _node(self, op: str, inputs: list[str], output: str, *, probe: bool = True, **attributes: Any) -> str:
        self._graph.node.append(helper.make_node(op, inputs, [output], **attributes))
        if probe:
            _output(self._graph, output)
        return output

    def _constant(self, name: str, values: list[int]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name


def _behind_sources(graph: onnx.GraphProto, settled: int) -> None:
    """Put each probe behind the node whose result it reduces, where a cut does not part them."""
    place: dict[str, int] = {}
    for at, node in enumerate(graph.node):
        behind = at if at < settled else max(place.get(name, -1) for name in node.input)
        place |= dict.fromkeys(node.output, behind)
    graph.node.sort(key=lambda node: place[node.output[0]])


def _output(graph: onnx.GraphProto, name: str) -> None:
    graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
