"""Where activations between convolutions can be scaled channel by channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from passes.transform.channel_flow import CHANNELS_SECOND, ChannelFlow
from passes.transform.smooth_site import Reader, Site, Source, owned

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.ir.layers import Layer


def conv_sites(graph: gs.Graph, quantized: Iterable[Layer]) -> list[Site]:
    """Return the places between layers with their channels on axis 1, in the order of the graph.

    What shares a tensor shares its scale, so that all channels that meet in one are of one site: those of
    every branch of a Concat, and all along a row of residual sums.

    Args:
        graph: in topological order.
        quantized: its layers; others are as good as any operator that mixes channels.
    """
    layers = {layer.name: layer for layer in quantized if _usable(layer)}
    flow = ChannelFlow(graph, layers)
    places = _places(flow, layers.values())
    sites = []
    made = [flow.of(layer.output) for layer in layers.values()]
    for place in dict.fromkeys(int(places[numbers[0]]) for numbers in made if numbers is not None):
        inside = np.flatnonzero(places == place)
        local = np.full(len(places), -1)
        local[inside] = np.arange(len(inside))
        site = _site(flow, layers.values(), local, len(inside))
        if site is not None and flow.free[inside].all():
            sites.append(site)
    return sites


def _usable(layer: Layer) -> bool:
    own = owned(layer.weight, layer.node) and (layer.bias is None or owned(layer.bias, layer.node))
    return own and layer.op in CHANNELS_SECOND


def _places(flow: ChannelFlow, layers: Iterable[Layer]) -> NDArray[np.int64]:
    """Return the place of each channel, shape (channels,): channels of one tensor are in one."""
    numbers = [flow.of(tensor) for layer in layers for tensor in (layer.act, layer.output)]
    rows = [it for it in numbers if it is not None and len(it)]
    count = len(flow.free)
    starts = np.concatenate([np.full(len(it), it[0]) for it in rows]) if rows else np.empty(0, np.int64)
    ends = np.concatenate(rows) if rows else starts
    joined = coo_array((np.ones(len(ends)), (starts, ends)), shape=(count, count))
    return np.asarray(connected_components(joined, directed=False)[1] if count else starts, dtype=np.int64)


def _site(flow: ChannelFlow, layers: Iterable[Layer], local: NDArray[np.int64], channels: int) -> Site | None:
    """Return what makes and what reads the channels of one place, or ``None`` where nothing reads them."""
    makers, sources, readers = [], [], []
    for layer in layers:
        made, read = flow.of(layer.output), flow.of(layer.act)
        if made is not None and local[made[0]] >= 0:
            makers.append(layer)
            sources.append(Source(layer.weight, layer.channel_axis, local[made]))
            sources += [] if layer.bias is None else [Source(layer.bias, 0, local[made])]
        if read is not None and local[read[0]] >= 0:
            readers.append(Reader(layer, local[read]))
    if not makers or not readers:
        return None
    return Site(makers[0].name, makers[0].op, tuple(sources), tuple(readers), channels)
