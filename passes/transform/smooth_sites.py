"""Places where a factor per channel can move from activations into the weights that multiply them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.transform.channel_paths import path_ends

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from passes.ir.layers import Layer

_NORMS = ("LayerNormalization", "RMSNormalization")
_DENSE = ("Gemm", "MatMul")


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """One such place.

    Attributes:
        name: of the node that makes the activations.
        op: its operator.
        sources: constants to divide, each with the axis that runs over the channels.
        readers: layers whose weights are multiplied.
    """

    name: str
    op: str
    sources: tuple[tuple[gs.Constant, int], ...]
    readers: tuple[Layer, ...]

    def scale(self, factors: NDArray[np.float64]) -> None:
        """Divide the sources and multiply the readers' weights; the model computes what it did.

        Args:
            factors: positive, shape (channels,).
        """
        for tensor, axis in self.sources:
            _multiply(tensor, axis, 1.0 / factors)
        for layer in self.readers:
            _multiply(layer.weight, 1 - layer.channel_axis, factors)

    def constants(self) -> set[str]:
        """Return the names of all constants that `scale` changes."""
        weights = {layer.weight.name for layer in self.readers if layer.weight is not None}
        return weights | {tensor.name for tensor, _ in self.sources}


def find_sites(graph: gs.Graph, quantized: Iterable[Layer]) -> list[Site]:
    """Return the places in a graph, in its order; no layer is a reader in two of them.

    Activations come from a normalization, a layer or a product with a constant vector, and reach nothing but
    layers with constant weights (`passes.transform.channel_paths`).

    Args:
        graph: in topological order.
        quantized: its layers; others are as good as any operator that mixes channels.
    """
    layers = {layer.name: layer for layer in quantized}
    outputs = {tensor.name for tensor in graph.outputs}
    taken: set[str] = set()
    sites = []
    for node in graph.nodes:
        sources = tuple(_sources(node, layers.get(node.name)))
        if not sources or not all(_owned(tensor, node) for tensor, _ in sources):
            continue
        channels = int(sources[0][0].shape[sources[0][1]])
        readers = path_ends(node.outputs[0], channels, layers, outputs)
        own = all(_owned(layer.weight, layer.node) for layer in readers)
        if readers and own and taken.isdisjoint(layer.name for layer in readers):
            sites.append(Site(node.name, node.op, sources, readers))
            taken |= {layer.name for layer in readers}
    return sites


def _sources(node: gs.Node, layer: Layer | None) -> Iterator[tuple[gs.Constant, int]]:
    """Yield the constants that a result is proportional to, channel by channel, where there are such."""
    if layer is not None and layer.weight is not None and node.op in _DENSE:
        yield layer.weight, layer.channel_axis
        if layer.bias is not None:
            yield layer.bias, 0
    elif node.op in _NORMS and _last_axis(node):
        vectors = [tensor for tensor in node.inputs[1:] if tensor.name]
        if all(isinstance(tensor, gs.Constant) and len(tensor.shape) == 1 for tensor in vectors):
            yield from ((tensor, 0) for tensor in vectors)
    elif node.op == "Mul":
        vectors = [tensor for tensor in node.inputs if isinstance(tensor, gs.Constant)]
        if len(vectors) == 1 and vectors[0].shape and vectors[0].values.size == vectors[0].shape[-1] > 1:
            yield vectors[0], len(vectors[0].shape) - 1


def _last_axis(node: gs.Node) -> bool:
    shape = node.inputs[0].shape
    axis = node.attrs.get("axis", -1)
    return shape is not None and axis in (-1, len(shape) - 1)


def _owned(tensor: gs.Constant | None, node: gs.Node) -> bool:
    """Tell whether a constant is float32 and read by one node only, once."""
    if tensor is None or tensor.dtype != np.float32:
        return False
    return len(tensor.outputs) == 1 and tensor.outputs[0] is node


def _multiply(tensor: gs.Constant | None, axis: int, factors: NDArray[np.float64]) -> None:
    values = np.asarray(tensor.values, dtype=np.float64)  # type: ignore[union-attr]
    shape = tuple(-1 if at == axis else 1 for at in range(values.ndim))
    tensor.values = (values * factors.reshape(shape)).astype(np.float32)  # type: ignore[union-attr]
