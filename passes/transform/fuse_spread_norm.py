"""LayerNormalization as Keras computes it, as an affine function whose factor holds gain and deviation.

f = gain / sqrt(var + eps);  y = x * f + (shift - mean * f)
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.transform.fuse_layer_norm import Norm, centred, mean_square
from passes.transform.patterns import along_last, constant, producer, reader, scalar


def find_spread_norms(graph: gs.Graph) -> list[Norm]:
    """Return every such chain; `fuse_layer_norm.fuse_norm` puts the operator there."""
    found = [_norm(node) for node in graph.nodes if node.op == "Sqrt"]
    return [norm for norm in found if norm is not None]


def _norm(root: gs.Node) -> Norm | None:
    square = mean_square(root)
    x = None if square is None else centred(square[1])
    factor, gain = _factor(root)
    if square is None or x is None or factor is None or gain is None or x.shape is None:
        return None
    scaled, shifted = _product(factor, x), _mean_product(factor, x)
    total = None if scaled is None else reader(scaled, "Add")
    rest = None if shifted is None else reader(shifted, "Sub")
    if total is None or rest is None or rest.outputs[0] not in total.inputs or len(factor.outputs) != 2:
        return None
    shift = constant(rest)
    channels = x.shape[-1]
    if shift is None or rest.inputs[1] is not shifted or not gain.size == shift.size == channels:
        return None
    epsilon, _ = square
    vectors = [values.reshape(-1).astype(np.float32) for values in (gain, shift)]
    return Norm("LayerNormalization", x, total.outputs[0], epsilon, *vectors)


def _factor(root: gs.Node) -> tuple[gs.Variable | None, np.ndarray | None]:
    """Return the gain over the square root, and the gain."""
    result = root.outputs[0]
    quotient = reader(result, "Div")
    gain = None if quotient is None or quotient.inputs[1] is not result else constant(quotient)
    if quotient is not None and gain is not None and gain.size > 1:
        return quotient.outputs[0], gain
    one = quotient is not None and gain is not None and scalar(quotient) == 1.0
    inverse = quotient if one else reader(result, "Reciprocal")
    product = None if inverse is None else reader(inverse.outputs[0], "Mul")
    return (None, None) if product is None else (product.outputs[0], constant(product))


def _product(factor: gs.Variable, x: gs.Variable) -> gs.Variable | None:
    """Return the factor times `x`."""
    products = [node for node in factor.outputs if node.op == "Mul" and any(it is x for it in node.inputs)]
    return products[0].outputs[0] if len(products) == 1 else None


def _mean_product(factor: gs.Variable, x: gs.Variable) -> gs.Variable | None:
    """Return the factor times the mean of `x` along the last axis."""
    for node in factor.outputs:
        means = [producer(tensor, "ReduceMean") for tensor in node.inputs if isinstance(tensor, gs.Variable)]
        if node.op == "Mul" and any(it is not None and it.inputs[0] is x and along_last(it) for it in means):
            return node.outputs[0]
    return None
