"""What is in a model: layers and their work, operators, and what cannot be quantized."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TYPE_CHECKING, Any

from hwmodels import load_target
from passes.analysis.sizes import Sizes
from passes.api import PassContext
from passes.errors import ModelError
from passes.ir.large import mapped_if_large
from passes.ir.layers import NO_SIZES
from passes.ir.onnx_io import opset_of, read_model
from passes.ir.recurrent import BIAS, operand
from passes.ir.setup import quantizer_setup
from passes.ir.workload import workload
from passes.transform.canonicalize import Canonicalize
from passes.transform.fold_batchnorm import FoldBatchNorm

if TYPE_CHECKING:
    from pathlib import Path

    from onnx_graphsurgeon import Tensor

    from passes.ir.layers import Layer, TensorShapes
    from passes.ir.model import Model


def inspect_model(path: Path, shapes: TensorShapes = NO_SIZES) -> dict[str, Any]:
    """Describe a model for a batch of one; layers and what stays float as they are once it is prepared.

    Args:
        path: an .onnx file.
        shapes: of inputs, by name, at which work is counted; open sizes of others count as one.

    Returns:
        The document that ``qtool inspect --json`` prints.

    Raises:
        ModelError: the file is no usable model.
    """
    with mapped_if_large(path) as mapped:
        return _described(read_model(path, mapped), shapes)


def _described(model: Model, shapes: TensorShapes) -> dict[str, Any]:
    operators = Counter(node.op for node in model.graph.nodes)
    ctx = PassContext(load_target("generic"), shapes=shapes)
    _prepare(model, ctx)
    setup, sizes = quantizer_setup(model.graph), Sizes().run(model, ctx)
    layers = [_layer(layer, sizes) for layer in setup.layers]
    return {
        "model": model.path,
        "sha256": model.sha256,
        "opset": opset_of(model.carried.header),
        "macs": sum(layer["macs"] or 0 for layer in layers),
        "parameters": sum(layer["parameters"] for layer in layers),
        "inputs": [_tensor(tensor) for tensor in model.graph.inputs],
        "outputs": [_tensor(tensor) for tensor in model.graph.outputs],
        "layers": layers,
        "operators": [{"operator": op, "count": count} for op, count in sorted(operators.items())],
        "unquantized": [{"name": it.name, "op": it.op, "reason": it.reason} for it in setup.unquantized],
    }


def _prepare(model: Model, ctx: PassContext) -> None:
    """Do what every compilation does first: a batch normalization that will be folded does not stay float."""
    for step in (Canonicalize(), FoldBatchNorm()):
        step.run(model, ctx)


def _layer(layer: Layer, sizes: TensorShapes) -> dict[str, Any]:
    bias = operand(layer.node, BIAS) if layer.recurrent else layer.bias
    held = [*(part.weight for part in layer.parts), bias]
    constants = [tensor for tensor in held if tensor is not None]
    shape = "computed" if layer.weight is None else "x".join(str(size) for size in layer.weight.shape)
    counts = {"macs": _macs(layer, sizes), "parameters": sum(prod(tensor.shape) for tensor in constants)}
    return {"name": layer.name, "op": layer.op, "weight": shape, **counts}


def _macs(layer: Layer, sizes: TensorShapes) -> int | None:
    """Count multiplications; ``None`` where shapes are not known."""
    try:
        return workload(layer, sizes=sizes).macs
    except ModelError:
        return None


def _tensor(tensor: Tensor) -> dict[str, str]:
    shape = "unknown" if tensor.shape is None else ",".join(str(size) for size in tensor.shape)
    return {"name": tensor.name, "shape": shape, "type": str(tensor.dtype)}
