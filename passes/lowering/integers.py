"""Steps beside the activations: integers and truth values from inputs and constants, tables, lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.artifact import PackedWeight, Step, TensorInfo, WeightLayout
from passes.artifact.tensor import INDEX_BITS
from passes.errors import LoweringError
from passes.ir.extent import Extent
from passes.ir.integer_graph import IntegerGraph, Length
from passes.ir.known_integers import front_cut
from passes.lowering.attributes import mover_step
from passes.lowering.made_names import free_name
from passes.numerics import quantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact import Attr
    from passes.ir.plan import TensorQuant


class IntegerSteps:
    """Writes the steps of integer tensors when they are first asked for, each tensor once."""

    def __init__(self, graph: gs.Graph, steps: list[Step], tensors: dict[str, TensorInfo]) -> None:
        """Append to the steps and tensors of an emission."""
        self._integers = IntegerGraph(graph)
        self._own_names = graph.tensors().keys()
        self._steps, self._tensors = steps, tensors

    def define(self, tensor: gs.Tensor) -> str:
        """Describe an integer tensor without a step that writes it, such as an input; return its name."""
        shape = tuple(extent if isinstance(extent, int) else None for extent in tensor.shape)
        bit = tensor.dtype == np.bool_
        name = str(tensor.name)
        self._tensors[name] = TensorInfo(name, shape, 1 if bit else INDEX_BITS, signed=not bit)
        return name

    def tensor(self, tensor: gs.Tensor) -> str:
        """Return the name of an integer tensor, after the steps that compute it.

        Raises:
            LoweringError: it is computed by more than moving and casting.
        """
        if tensor.name in self._tensors:
            return str(tensor.name)
        if isinstance(tensor, gs.Constant):
            return self.constant(self.define(tensor), np.asarray(tensor.values).astype(np.int64))
        node = tensor.inputs[0]
        source = self.tensor(node.inputs[0])
        if node.op == "Cast":
            return self._cast(node, source)
        self.move(node, source, self.define(tensor))
        return str(tensor.name)

    def constant(self, name: str, codes: NDArray[np.int64]) -> str:
        """Write a constant into a tensor that is defined; return its name."""
        attrs: dict[str, Attr] = {"shape": list(codes.shape)}
        self._steps.append(Step("constant", name, (), name, attrs, table=codes.reshape(-1)))
        return name

    def move(self, node: gs.Node, source: str, result: str) -> None:
        """Write the step of an operator that moves values, maybe as far as the size of an input says."""
        dynamic = self._dynamic(node)
        if dynamic is None:
            op, attrs, table = mover_step(node)
            self._steps.append(Step(op, node.name, (source,), result, attrs, table=table))
        else:
            op, attrs, like = dynamic
            self._steps.append(Step(op, node.name, (source, like), result, attrs))

    def source(self, node: gs.Node, quant: TensorQuant) -> None:
        """Write the steps by which integers or a constant table become codes; the result is defined."""
        result = str(node.outputs[0].name)
        if node.op == "Cast":
            self._steps.append(Step("requantize", node.name, (self.tensor(node.inputs[0]),), result))
            return
        table = np.asarray(node.inputs[0].values)
        codes = quantize(table, quant.spec, quant.params)  # type: ignore[arg-type]
        if node.op == "Gather":
            weight = _table(node.inputs[0].name, codes, quant)
            index = self.tensor(node.inputs[1])
            self._steps.append(Step("embedding", node.name, (index,), result, weight=weight))
            return
        info = self._tensors[result]
        name = free_name(f"{node.name}.table", self._own_names)
        self._tensors[name] = TensorInfo(name, table.shape, *info.params)
        self.move(node, self.constant(name, codes.astype(np.int64)), result)

    def _cast(self, node: gs.Node, source: str) -> str:
        """Truth values of integers take a step; integers of another width are the same."""
        result = node.outputs[0]
        if result.dtype != np.bool_ or not self._tensors[source].is_index:
            return source
        name = self.define(result)
        self._steps.append(Step("nonzero", node.name, (source,), name))
        return name

    def _dynamic(self, node: gs.Node) -> tuple[str, dict[str, Attr], str] | None:
        """Return operation, attributes and the input whose extents it takes; ``None`` for fixed settings."""
        computed = [it for it in node.inputs[1:] if isinstance(it, gs.Variable) and it.name]
        if not computed:
            return None
        if node.op == "Slice":
            cut = front_cut(node, self._integers.known) or {}
            lengths = self._lengths(node, list(cut.values()))
            attrs: dict[str, Attr] = {
                "axes": list(cut),
                "like_axes": [length.axis for length in lengths if length is not None],
            }
            return "trim", attrs, _only(lengths)
        target: list[Any] = list(self._integers.known[node.inputs[1].name])
        lengths = self._lengths(node, target)
        attrs = {
            "shape": [0 if isinstance(extent, Extent) else int(extent) for extent in target],
            "like_axes": [-1 if length is None else length.axis for length in lengths],
        }
        return "reshape_like", attrs, _only(lengths)

    def _lengths(self, node: gs.Node, extents: list[Any]) -> tuple[Length | None, ...]:
        lengths = self._integers.lengths(extents)
        if lengths is None or not any(lengths):
            raise LoweringError(f"node {node.name} ({node.op}): no input tells the lengths {extents}")
        return lengths


def _only(lengths: tuple[Length | None, ...]) -> str:
    return next(length.tensor for length in lengths if length is not None)


def _table(name: str, codes: NDArray[np.integer], quant: TensorQuant) -> PackedWeight:
    return PackedWeight.pack(
        codes,
        name=name,
        layout=WeightLayout.OUT_IN,
        fmt=quant.spec.format,
        scale=np.asarray(quant.params.scale),  # type: ignore[union-attr]
        zero_point=np.asarray(quant.params.zero_point),  # type: ignore[union-attr]
    )
