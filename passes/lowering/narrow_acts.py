"""Which activations may have 4-bit types in Q/DQ models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup


def native4_tensors(model: Model, setup: QuantizerSetup) -> frozenset[str]:
    """Return activations that may be UINT4: read and written by layers of at most 4-bit weights only.

    Beside 8-bit weights, behind a Clip, and through pooling or other movers, ONNX Runtime 1.31 fails to load
    them.
    """
    narrow = {
        layer.name
        for layer in setup.layers
        if layer.name in model.plan.layers and model.plan.layers[layer.name].precision.weight_bits <= 4
    }
    clamps = {clamp: name for name, clamp in setup.fused.items()}
    safe, tensors = set(), model.graph.tensors()
    for group in setup.groups:
        if len(group.members) > 1 or group.is_output:
            continue
        tensor = tensors[group.name]
        users = [clamps.get(node.name, node.name) for node in (*tensor.inputs, *tensor.outputs)]
        if tensor.inputs and tensor.inputs[0].op != "Clip" and all(user in narrow for user in users):
            safe.add(group.name)
    return frozenset(safe)
