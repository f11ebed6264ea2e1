"""Matrix products (ONNX Gemm and MatMul, opset 13), exact in integers."""

from __future__ import annotations

import numpy as np

from qtool.runtime.epilogue import Epilogue
from qtool.runtime.exact import ExactProduct
from qtool.runtime.node import Array, Kernel, Node, reach
from qtool.runtime.weights import Weights

BLOCK_ELEMENTS = 1 << 22


def gemm(node: Node) -> Kernel:
    """Build the kernel for ``x @ weight.T + bias`` along the last axis of `x`."""
    weights = Weights.of(node)
    epilogue = Epilogue(node, weights.scale[None], weights.largest, weights.bias[None])
    matrix = weights.codes.reshape(weights.channels, -1)
    depth = matrix.shape[1]
    product = ExactProduct.plan(reach(node.inputs[0]) * weights.peak, depth, weights.largest)
    step = max(1, BLOCK_ELEMENTS // max(depth, weights.channels))

    def run(x: Array) -> Array:
        if x.ndim < 1 or x.shape[-1] != depth:
            node.fail(f"expected a last axis of {depth}, found an input of shape {x.shape}")
        rows = x.reshape(-1, depth)
        right = matrix.astype(product.dtype).T
        out = np.empty((len(rows), weights.channels), node.output.dtype)
        for start in range(0, len(rows), step):
            block = slice(start, start + step)
            centred = np.subtract(rows[block], node.inputs[0].zero_point, dtype=product.dtype)
            epilogue.write(product(centred, right), out[block])
        return out.reshape(*x.shape[:-1], weights.channels)

    return run


def matmul(node: Node) -> Kernel:
    """Build the kernel for the product of two computed tensors, batched and broadcast as numpy does."""
    left_info, right_info = node.inputs
    peak = reach(left_info) * reach(right_info)
    scale = np.float64(left_info.scale) * np.float64(right_info.scale)

    def run(left: Array, right: Array) -> Array:
        depth = left.shape[-1]
        largest = peak * max(depth, 1)
        product = ExactProduct.plan(peak, depth, largest)
        a = np.subtract(left, left_info.zero_point, dtype=product.dtype)
        b = np.subtract(right, right_info.zero_point, dtype=product.dtype)
        sums = product(a, b[:, None])[..., 0] if b.ndim == 1 else product(a, b)
        return Epilogue(node, np.asarray(scale), largest)(sums)

    return run


KERNELS = {"gemm": gemm, "matmul": matmul}
