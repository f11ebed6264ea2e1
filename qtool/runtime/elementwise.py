"""Products of two tensors (ONNX Mul, opset 14), with one rounding each; and the kernels of sums."""

from __future__ import annotations

import numpy as np

from qtool.runtime.epilogue import Epilogue
from qtool.runtime.node import Array, Kernel, Node, reach
from qtool.runtime.sums import add, sub
from qtool.runtime.tiles import tiles


def mul(node: Node) -> Kernel:
    """Build the kernel for ``a * b``."""
    first, second = node.inputs
    scale = np.asarray(np.float64(first.scale) * np.float64(second.scale))
    epilogue = Epilogue(node, scale, reach(first) * reach(second))

    def run(a: Array, b: Array) -> Array:
        shape = np.broadcast_shapes(a.shape, b.shape)
        wide_a, wide_b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
        out = np.empty(shape, node.output.dtype)
        for tile in tiles(shape):
            left = wide_a[tile].astype(np.int64) - first.zero_point
            epilogue.write_tile(left * (wide_b[tile].astype(np.int64) - second.zero_point), out, tile)
        return out

    return run


KERNELS = {"add": add, "sub": sub, "mul": mul}
