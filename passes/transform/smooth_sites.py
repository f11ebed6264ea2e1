"""Places where a factor per channel can move from activations into the weights that multiply them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.transform.channel_paths import path_ends
from passes.transform.conv_sites import conv_sites
from passes.transform.smooth_site import Reader, Site, Source, owned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from passes.ir.layers import Layer

_NORMS = ("LayerNormalization", "RMSNormalization")
_DENSE = ("Gemm", "MatMul")


def find_sites(graph: gs.Graph, quantized: Iterable[Layer]) -> list[Site]:
    """Return the places in a graph; no layer is a reader in two of them.

    Those between convolutions come first (`passes.transform.conv_sites`). Elsewhere activations come from a
    normalization, a layer or a product with a constant vector, and reach nothing but layers with constant
    weights (`passes.transform.channel_paths`).

    Args:
        graph: in topological order.
        quantized: its layers; others are as good as any operator that mixes channels.
    """
    layers = {layer.name: layer for layer in quantized}
    outputs = {tensor.name for tensor in graph.outputs}
    sites = conv_sites(graph, layers.values())
    taken = {reader.layer.name for site in sites for reader in site.readers}
    for node in graph.nodes:
        sources = tuple(_sources(node, layers.get(node.name)))
        if not sources or not all(owned(tensor, node) for tensor, _ in sources):
            continue
        channels = np.arange(sources[0][0].shape[sources[0][1]])
        readers = path_ends(node.outputs[0], len(channels), layers, outputs)
        own = all(owned(layer.weight, layer.node) for layer in readers)
        if readers and own and taken.isdisjoint(layer.name for layer in readers):
            divided = tuple(Source(tensor, axis, channels) for tensor, axis in sources)
            multiplied = tuple(Reader(layer, channels) for layer in readers)
            sites.append(Site(node.name, node.op, divided, multiplied, len(channels)))
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
