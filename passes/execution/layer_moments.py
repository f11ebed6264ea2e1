"""Second moments of the inputs of layers, in one pass over the calibration data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.errors import ModelError
from passes.execution.columns import choose_positions, columns
from passes.execution.moments import Moments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passes.execution.dataset import Dataset
    from passes.execution.padding import Unpadded
    from passes.execution.segments import Segments
    from passes.ir.layers import Layer

BATCH = 10


def layer_moments(
    segments: Segments,
    layers: Sequence[tuple[Layer, int]],
    data: Dataset | Unpadded,
    rng: np.random.Generator,
) -> Iterator[tuple[Layer, Moments]]:
    """Yield every layer with the moments of its input, by depth.

    Args:
        segments: the model, cut at these layers.
        layers: each with the number of vectors to see.
        data: calibration samples.
        rng: source of positions.

    Raises:
        ModelError: the input of a layer is NaN or infinite; the message names the layer.
    """
    samples = max(segments.start(data, BATCH), 1)
    last = max(segments.depths.values())
    for depth in range(1, last + 1):
        for layer, vectors in layers:
            if segments.depths[layer.name] == depth:
                yield layer, _moments(segments, layer, -(-vectors // samples), rng)
        if depth < last:
            segments.advance(depth, {}, {})


def _moments(segments: Segments, layer: Layer, count: int, rng: np.random.Generator) -> Moments:
    moments = Moments()
    for batch in segments.store.compact(segments.operand(layer.name)):
        at = choose_positions(layer, batch.shape, count, rng)
        vectors = np.ascontiguousarray(columns(layer, batch, at), dtype=np.float32)
        moments.update(vectors, vectors)
    if not moments.finite():
        raise ModelError(f"layer {layer.name}: its input is NaN or infinite on the calibration data")
    return moments
