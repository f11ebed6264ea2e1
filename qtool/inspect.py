"""What is in a model: layers and their work, operators, and what cannot be quantized."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from passes.analysis.workloads import Workloads

from hwmodels import load_target
from passes.api import PassContext
from passes.ir.onnx_io import opset_of, read_model
from passes.ir.setup import quantizer_setup
from passes.transform.canonicalize import Canonicalize

if TYPE_CHECKING:
    from pathlib import Path

    from onnx_graphsurgeon import Tensor

    from hwmodels import Workload
    from passes.ir.layers import Layer


def inspect_model(path: Path) -> dict[str, Any]:
    """Describe a model, as it is after `canonicalize`, for a batch of one.

    Returns:
        The document that ``qtool inspect --json`` prints.

    Raises:
        ModelError: the file is no usable model.
    """
    model = read_model(path)
    ctx = PassContext(load_target("generic"))
    operators = Counter(node.op for node in model.graph.nodes)
    Canonicalize().run(model, ctx)
    setup, works = quantizer_setup(model.graph), ctx.get(Workloads(), model)
    layers = [_layer(layer, works[layer.name]) for layer in setup.layers]
    return {
        "model": str(path),
        "sha256": model.sha256,
        "opset": opset_of(model.carried.header),
        "macs": sum(layer["macs"] for layer in layers),
        "parameters": sum(layer["parameters"] for layer in layers),
        "inputs": [_tensor(tensor) for tensor in model.graph.inputs],
        "outputs": [_tensor(tensor) for tensor in model.graph.outputs],
        "layers": layers,
        "operators": [{"operator": op, "count": count} for op, count in sorted(operators.items())],
        "unquantized": [{"name": it.name, "op": it.op, "reason": it.reason} for it in setup.unquantized],
    }


def _layer(layer: Layer, work: Workload) -> dict[str, Any]:
    shape = "computed" if layer.weight is None else "x".join(str(size) for size in layer.weight.shape)
    counts = {"macs": work.macs, "parameters": work.weight_count + work.bias_count}
    return {"name": layer.name, "op": layer.op, "weight": shape, **counts}


def _tensor(tensor: Tensor) -> dict[str, str]:
    shape = "unknown" if tensor.shape is None else ",".join(str(size) for size in tensor.shape)
    return {"name": tensor.name, "shape": shape, "type": str(tensor.dtype)}
