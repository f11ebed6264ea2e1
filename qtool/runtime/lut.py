"""Functions of one code as tables: the step lut, and requantization, which is one more such function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.numerics import RequantRule
from qtool.runtime.boundary import to_codes, to_floats
from qtool.runtime.epilogue import Epilogue
from qtool.runtime.node import Array, Kernel, Node, reach

if TYPE_CHECKING:
    from passes.artifact import TensorInfo


def lookup(info: TensorInfo, values: Array) -> Kernel:
    """Build a kernel that replaces every code by the value for it.

    Args:
        info: tensor that holds the codes.
        values: one for every code from `qmin` to `qmax`.
    """
    container = np.dtype(info.dtype)
    pattern = np.dtype(f"u{container.itemsize}")
    table = np.zeros(1 << 8 * container.itemsize, values.dtype)
    # Codes are looked up by their bit pattern, so that the signed ones need no offset.
    table[np.arange(info.qmin, info.qmax + 1).astype(container).view(pattern)] = values

    def run(x: Array) -> Array:
        return np.asarray(table[x.view(pattern)])

    return run


def lut(node: Node) -> Kernel:
    """Build the kernel for a table of output codes."""
    if node.step.table is None:
        node.fail("lacks its table")
    return lookup(node.inputs[0], node.step.table.astype(node.output.dtype))


def rescale(node: Node, info: TensorInfo) -> Kernel:
    """Build a kernel that brings codes of one tensor to the parameters of the output of `node`.

    Under FLOAT by way of real numbers, as a Q/DQ model and ONNX Runtime's QLinearConcat do.
    """
    if node.rule is RequantRule.FLOAT and not node.output.is_float:
        codes = to_codes(to_floats(np.arange(info.qmin, info.qmax + 1), info), node.output)
        return lookup(info, np.clip(codes, node.lo, node.hi))
    epilogue = Epilogue(node, np.array([info.scale], np.float64), reach(info))
    return lookup(info, epilogue(np.arange(info.qmin, info.qmax + 1) - info.zero_point))


def requantize(node: Node) -> Kernel:
    """Build the kernel for new parameters, a Relu or a Clip that is on its own, or the way to float32."""
    info = node.inputs[0]
    return _count(node, info) if info.is_index else rescale(node, info)


def _count(node: Node, info: TensorInfo) -> Kernel:
    """Build a kernel that brings integers that stand for themselves to codes: too many values for a table."""
    if node.rule is RequantRule.FLOAT and not node.output.is_float:
        return lambda x: np.clip(to_codes(x.astype(np.float32), node.output), node.lo, node.hi)
    epilogue = Epilogue(node, np.asarray(np.float64(info.scale)), reach(info))
    return lambda x: epilogue(x.astype(np.int64))


def concat(node: Node) -> Kernel:
    """Build the kernel for Concat (ONNX, opset 13); inputs with other parameters are requantized."""
    unbounded = node.step.lo is None and node.step.hi is None
    as_is = [info.params == node.output.params and unbounded for info in node.inputs]
    kernels = [None if same else rescale(node, info) for same, info in zip(as_is, node.inputs, strict=True)]
    axis = node.step.integer("axis")

    def run(*parts: Array) -> Array:
        scaled = [
            part if kernel is None else kernel(part) for kernel, part in zip(kernels, parts, strict=True)
        ]
        return np.concatenate(scaled, axis)

    return run


KERNELS = {"lut": lut, "requantize": requantize, "concat": concat}
