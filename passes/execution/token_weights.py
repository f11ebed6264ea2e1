"""How much the rows of a layer's input count: those whose results a normalization shrinks count less.

Where results of a layer are added up and then normalized row by row, an error counts in proportion to the
sum that it is part of. Rows of sums a hundred times as large as others, as separators between texts have
them, would otherwise decide alone how weights and activations are rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.execution.instrument import Wanted, instrument
from passes.execution.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.api import PassContext
    from passes.execution.dataset import Dataset
    from passes.execution.padding import Unpadded
    from passes.ir.layers import Layer
    from passes.ir.model import Model

_NORMS = frozenset({"LayerNormalization", "RMSNormalization"})
_PASSED = frozenset({"Add", "Reshape", "Squeeze", "Unsqueeze", "Identity"})
_DENSE = frozenset({"Gemm", "MatMul"})
LEAST = 1e-3
"""Sums are taken to be no smaller than this part of their median."""


def normalized_sums(graph: gs.Graph, layers: Iterable[Layer]) -> dict[str, gs.Node]:
    """Return the normalization that reads the sum of a layer's results and others, by name of the layer.

    Args:
        graph: in topological order.
        layers: those to look for; a Gemm or MatMul with constant weights each.
    """
    wanted = {layer.name for layer in layers if layer.op in _DENSE and layer.weight is not None}
    norms = [node for node in graph.nodes if node.op in _NORMS]
    read = {node.inputs[0].name for node in norms}
    found: dict[str, gs.Node] = {}
    for norm in norms:
        waiting = list(norm.inputs[0].inputs)
        while waiting:
            node = waiting.pop()
            if node.name in wanted:
                found.setdefault(node.name, norm)
            elif node.op in _PASSED:
                waiting += [it for tensor in node.inputs if tensor.name not in read for it in tensor.inputs]
    return found


def token_weights(
    model: Model, sums: dict[str, gs.Node], data: Dataset | Unpadded, batch: int, ctx: PassContext
) -> dict[str, list[NDArray[np.float32]]]:
    """Return the weight of every row of a layer's input, batch by batch, by name of the layer; 1 on average.

    Args:
        model: in float.
        sums: from `normalized_sums`.
        data: calibration samples.
        batch: their number in a batch.
        ctx: with the number of threads.
    """
    names = tuple(dict.fromkeys(norm.inputs[0].name for norm in sums.values()))
    if not names:
        return {}
    centred = {norm.inputs[0].name for norm in sums.values() if norm.op == "LayerNormalization"}
    proto, _ = instrument(model, Wanted(full=names))
    seen: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for _, found in sweep(proto, names, data.batches(batch), ctx):
        for name, values in found.items():
            rows = values.reshape(-1, values.shape[-1])
            energy = rows.var(axis=1) if name in centred else np.square(rows).mean(axis=1)
            seen[name].append(energy)
    inverse = {name: _inverse(energies) for name, energies in seen.items()}
    return {layer: inverse[norm.inputs[0].name] for layer, norm in sums.items()}


def _inverse(energies: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    joined = np.concatenate(energies)
    least = LEAST * float(np.median(joined)) or 1.0
    weights = [1.0 / np.maximum(each, least) for each in energies]
    mean = float(np.concatenate(weights).mean())
    return [(each / mean).astype(np.float32) for each in weights]
