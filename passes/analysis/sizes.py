"""`Sizes`: the shape of every tensor for the input that is priced, where the model leaves it open."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnx
from onnx import helper

from passes.api import Analysis, Aspect, PassContext
from passes.errors import ModelError, UsageError
from passes.execution.dataset import graph_inputs
from passes.execution.session import Session
from passes.ir.onnx_io import infer_shapes, to_proto

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.execution.dataset import InputSpec
    from passes.ir.model import Model

    Shapes = dict[str, tuple[int, ...]]

MAX_ELEMENTS = 1 << 28
"""Of an input that is made up to find shapes."""


@dataclass(frozen=True)
class Sizes(Analysis["Mapping[str, tuple[int, ...]]"]):
    """Shapes by tensor name, for inputs as ``--shape`` gives them, or else like the first calibration sample.

    Empty where the model leaves nothing open but the number of samples, which counts as one. Shapes are
    inferred; those that depend on values are observed in a run.
    """

    name: ClassVar[str] = "sizes"
    reads: ClassVar[Aspect] = Aspect.GRAPH

    def run(self, model: Model, ctx: PassContext) -> Mapping[str, tuple[int, ...]]:
        """Infer, and run once where that does not suffice.

        Raises:
            UsageError: a shape is asked for that the model cannot take.
        """
        specs = graph_inputs(model.graph)
        check_shapes(ctx.shapes, specs)
        wanted = [tensor for tensor in _computed(model.graph) if tensor.name]
        if not ctx.shapes and not any(map(_open, (*model.graph.inputs, *wanted))):
            return {}
        feeds = _feeds(specs, ctx)
        if feeds is None:
            return {}
        proto = to_proto(model)
        found = _inferred(proto, {name: array.shape for name, array in feeds.items()})
        missing = [tensor.name for tensor in wanted if tensor.name not in found]
        return found | _observed(proto, missing, feeds, ctx)


def check_shapes(shapes: Mapping[str, tuple[int, ...]], specs: Iterable[InputSpec]) -> None:
    """Refuse shapes that the inputs of a model cannot have.

    Raises:
        UsageError: no such input, or another rank, or another size of an axis that the model fixes.
    """
    known = {spec.name: spec.shape for spec in specs}
    for name, shape in shapes.items():
        if name not in known:
            raise UsageError(f"--shape: the model has no input {name!r}; its inputs are {', '.join(known)}")
        fixed = known[name]
        if fixed is None:
            continue
        if len(fixed) != len(shape) or any(a not in (None, b) for a, b in zip(fixed, shape, strict=True)):
            expected = ",".join("?" if size is None else str(size) for size in fixed)
            found = ",".join(map(str, shape))
            raise UsageError(f"--shape {name}: expected {expected} (? for any size), found {found}")


def _computed(graph: gs.Graph) -> list[gs.Variable]:
    return [tensor for node in graph.nodes for tensor in node.outputs]


def _open(tensor: gs.Tensor) -> bool:
    """Tell whether more than the first axis of a tensor is of unknown size."""
    if tensor.shape is None:
        return True
    return any(not isinstance(size, int) for size in tensor.shape[1:])


def _feeds(specs: Iterable[InputSpec], ctx: PassContext) -> dict[str, NDArray[Any]] | None:
    """Return an input of the shapes that are priced; ``None`` where nobody said how large it is."""
    given = {} if ctx.calibration is None else next(iter(ctx.calibration.batches(1)))
    feeds: dict[str, NDArray[Any]] = {}
    for spec in specs:
        shape = ctx.shapes.get(spec.name)
        like = given.get(spec.name)
        if shape is None and like is None and (spec.shape is None or None in spec.shape[1:]):
            return None
        if like is not None and shape in (None, like.shape):
            feeds[spec.name] = like
            continue
        sizes = shape or tuple(size or 1 for size in spec.shape or ())
        if prod(sizes) > MAX_ELEMENTS:
            raise UsageError(f"--shape {spec.name}: expected at most {MAX_ELEMENTS} elements, found {sizes}")
        feeds[spec.name] = np.zeros(sizes, spec.dtype)
    return feeds


def _inferred(proto: onnx.ModelProto, inputs: Mapping[str, tuple[int, ...]]) -> Shapes:
    """Return the shapes that follow from those of the inputs."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    del fixed.graph.value_info[:]
    for value in fixed.graph.input:
        kind = value.type.tensor_type
        shape = helper.make_tensor_type_proto(kind.elem_type, inputs[value.name])
        value.type.CopyFrom(shape)
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph = infer_shapes(fixed).graph
    found: Shapes = {name: tuple(shape) for name, shape in inputs.items()}
    for value in (*graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            found[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return found


def _observed(
    proto: onnx.ModelProto, names: list[str], feeds: dict[str, NDArray[Any]], ctx: PassContext
) -> Shapes:
    """Run the model and let it tell the shapes of some tensors; none, where it does not run."""
    probed = onnx.ModelProto()
    probed.CopyFrom(proto)
    kinds = {value.name: value.type for value in (*probed.graph.value_info, *probed.graph.output)}
    tensors = [name for name in names if name not in kinds or kinds[name].HasField("tensor_type")]
    if not tensors:
        return {}
    del probed.graph.output[:]
    for index, name in enumerate(tensors):
        probed.graph.node.append(helper.make_node("Shape", [name], [f"{name}.shape.{index}"]))
        probed.graph.output.append(
            helper.make_tensor_value_info(f"{name}.shape.{index}", onnx.TensorProto.INT64, None)
        )
    try:
        results = Session(probed, threads=ctx.workers, small=True).run(feeds)
    except ModelError as error:
        ctx.note("sizes", "shapes", f"some stay unknown: {error}")
        return {}
    return {name: tuple(map(int, shape)) for name, shape in zip(tensors, results, strict=True)}
