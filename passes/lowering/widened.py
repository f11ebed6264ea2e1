"""A layer whose channels have several points, in ONNX: a wider layer of low bits, then sums of its channels.

The wider layer is a Conv, Gemm or MatMul as any other, so that any kernel for its few bits runs it. Behind it
stand, for the first point of every channel, the second and so on, a Gather that fetches their results and a
Mul with their multipliers, and one Sum (opset 13) of all, which takes the bias as well. Float32 is exact on
them up to 24 bits, like on the sums themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from passes.ir.plan import TensorQuant
from passes.lowering.made_names import made
from passes.numerics import QuantParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact.points import Points
    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan


@dataclass(frozen=True, slots=True)
class Widening:
    """How the node of a layer is replaced.

    Attributes:
        layer: the layer.
        base: scale of each channel, shape (channels,).
        points: the rows of its weight.
    """

    layer: Layer
    base: NDArray[np.float32]
    points: Points

    def rows(self, quant: TensorQuant) -> TensorQuant:
        """Return the quantization of the wider weight: codes as they are, the base scale for every row."""
        scale = np.ascontiguousarray(self.base[self.points.channels])
        zero = np.zeros(scale.shape, dtype=np.int32)
        return TensorQuant(quant.role, quant.spec, QuantParams(scale, zero), quant.codes)

    def constants(self) -> list[onnx.TensorProto]:
        """Return the initializers that the nodes of `replace` read."""
        found = []
        for number, (at, factor) in enumerate(self._steps()):
            found.append(numpy_helper.from_array(at, self._name(f"point{number}.rows")))
            found.append(numpy_helper.from_array(factor, self._name(f"point{number}.multiplier")))
        if self.layer.groups > 1:
            found.append(numpy_helper.from_array(self._sources(), self._name("sources")))
        return found

    def replace(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return the nodes that stand in place of the layer's; the last has its name, and takes its bias."""
        wide = onnx.NodeProto()
        wide.CopyFrom(node)
        wide.name, wide.output[0] = made(node.name, "rows"), made(node.output[0], "rows")
        del wide.input[2:]
        nodes = [*self._gathered(wide), wide]
        axis = 1 if self.layer.op == "Conv" else -1
        terms = []
        for number, _ in enumerate(self._steps()):
            term = made(node.output[0], f"point{number}")
            rows, factor = (self._name(f"point{number}.{part}") for part in ("rows", "multiplier"))
            nodes.append(
                helper.make_node(
                    "Gather", [wide.output[0], rows], [made(term, "row")], made(term, "row"), axis=axis
                )
            )
            nodes.append(helper.make_node("Mul", [made(term, "row"), factor], [term], term))
            terms.append(term)
        bias = [name for name in node.input[2:] if name]
        return [*nodes, helper.make_node("Sum", [*terms, *bias], list(node.output), node.name)]

    def _gathered(self, wide: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Give every row of a grouped convolution a group of its own, with the channels that it reads."""
        if self.layer.groups == 1:
            return []
        name = made(wide.name, "sources")
        gather = helper.make_node("Gather", [wide.input[0], self._name("sources")], [name], name, axis=1)
        wide.input[0] = name
        kept = [attribute for attribute in wide.attribute if attribute.name != "group"]
        del wide.attribute[:]
        wide.attribute.extend([*kept, helper.make_attribute("group", len(self.points.multiplier))])
        return [gather]

    def _sources(self) -> NDArray[np.int64]:
        """Return the input channels that each row reads, one row after the other."""
        channels, each = len(self.points.counts), int(self.layer.weight.shape[1])  # type: ignore[union-attr]
        group = self.points.channels // (channels // self.layer.groups)
        return (group[:, None] * each + np.arange(each)).reshape(-1)

    def _steps(self) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Return, for each number of a point, its row and multiplier by channel; 0 for one that is not."""
        counts = self.points.counts
        starts, steps = np.cumsum(counts) - counts, []
        for number in range(int(counts.max())):
            at = starts + np.minimum(number, counts - 1)
            factor = np.where(number < counts, self.points.multiplier[at], 0).astype(np.float32)
            steps.append((at, factor.reshape(_per_channel(self.layer))))
        return steps

    def _name(self, part: str) -> str:
        return made(self.layer.weight.name, part)  # type: ignore[union-attr]


def bias_shape(layer: Layer, plan: QuantPlan) -> tuple[int, ...]:
    """Return the shape of the bias of a layer: a vector, unless a Sum has to broadcast it."""
    quant = plan.tensors.get(layer.weight.name) if layer.weight is not None else None
    return (-1,) if quant is None or quant.points is None else _per_channel(layer)


def _per_channel(layer: Layer) -> tuple[int, ...]:
    """Return the shape in which a vector per channel is broadcast over the results of a layer."""
    rank = len(layer.weight.shape)  # type: ignore[union-attr]
    return (-1, *[1] * (rank - 2)) if layer.op == "Conv" else (-1,)
