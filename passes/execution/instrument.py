"""Instrumented models: a float model with extra outputs that reduce activations where they are computed.

Reductions and samples run inside ONNX Runtime, so that only small arrays leave it and fusions stay intact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from passes.ir.onnx_io import opset_of, raise_opset, to_proto

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.ir.model import Model

SAMPLE_ELEMENTS = 4096
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
    """

    ranged: tuple[str, ...] = ()
    sampled: Mapping[str, int] = field(default_factory=dict)
    means: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    full: tuple[str, ...] = ()


@dataclass
class Probes:
    """What is asked of an instrumented model: output names by the tensor they describe.

    Attributes:
        low: scalar minimum over the batch.
        high: scalar maximum over the batch.
        sample: a flat, evenly strided sample of the elements.
        mean: mean of each channel, all other axes reduced; shape (channels,).
        full: the tensor itself.
    """

    low: dict[str, str] = field(default_factory=dict)
    high: dict[str, str] = field(default_factory=dict)
    sample: dict[str, str] = field(default_factory=dict)
    mean: dict[str, str] = field(default_factory=dict)
    full: dict[str, str] = field(default_factory=dict)


def instrument(model: Model, wanted: Wanted) -> tuple[onnx.ModelProto, Probes]:
    """Return the float model with probes as its only outputs, and their names."""
    proto = to_proto(model)
    if opset_of(proto) < _STEPPED_SLICE_OPSET and wanted.sampled:
        proto = raise_opset(proto, _STEPPED_SLICE_OPSET)
    probes, graph = Probes(), proto.graph
    known = {value.name: value for value in (*graph.input, *graph.output)}
    del graph.output[:]
    for name in wanted.ranged:
        _reduce(graph, name, probes)
    for name, elements in wanted.sampled.items():
        _sample(graph, name, elements, probes)
    for name, axes in wanted.means.items():
        _mean(graph, name, axes, probes, opset_of(proto))
    for name in wanted.full:
        probes.full[name] = name
        graph.output.append(known[name]) if name in known else _output(graph, name)
    return proto, probes


def _reduce(graph: onnx.GraphProto, name: str, probes: Probes) -> None:
    for op, outputs in (("ReduceMin", probes.low), ("ReduceMax", probes.high)):
        outputs[name] = f"{name}.{op}"
        graph.node.append(helper.make_node(op, [name], [outputs[name]], keepdims=0))
        _output(graph, outputs[name])


def _sample(graph: onnx.GraphProto, name: str, elements: int, probes: Probes) -> None:
    """Take every k-th element, k odd so that it does not run along one column of an even-sized image."""
    step = max(1, elements // SAMPLE_ELEMENTS) | 1
    constants = {"flat": [-1], "start": [0], "end": [np.iinfo(np.int64).max], "axis": [0], "step": [step]}
    names = {key: f"{name}.sample.{key}" for key in constants}
    for key, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=np.int64), names[key]))
    probes.sample[name] = f"{name}.sample"
    slicing = [f"{name}.flat", names["start"], names["end"], names["axis"], names["step"]]
    graph.node.append(helper.make_node("Reshape", [name, names["flat"]], [f"{name}.flat"]))
    graph.node.append(helper.make_node("Slice", slicing, [probes.sample[name]]))
    _output(graph, probes.sample[name])


def _mean(graph: onnx.GraphProto, name: str, axes: tuple[int, ...], probes: Probes, opset: int) -> None:
    probes.mean[name] = f"{name}.mean"
    node = helper.make_node("ReduceMean", [name], [probes.mean[name]], keepdims=0)
    if opset < _AXES_INPUT_OPSET:
        node.attribute.append(helper.make_attribute("axes", list(axes)))
    else:
        node.input.append(f"{name}.mean.axes")
        graph.initializer.append(numpy_helper.from_array(np.array(axes, dtype=np.int64), f"{name}.mean.axes"))
    graph.node.append(node)
    _output(graph, probes.mean[name])


def _output(graph: onnx.GraphProto, name: str) -> None:
    graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
