"""Native functions of one code as tables of 256 entries: lut, requantization and Concat (ONNX, opset 13)."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.lut import rescale
from qtool.runtime.native.codes import check_storable, empty, store
from qtool.runtime.node import Array, Kernel, Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact import TensorInfo
    from qtool.runtime.native._kernels import Executor

_ENTRIES = 256


def lut(node: Node, executor: Executor) -> Kernel:
    """Build the table of a step."""
    check_storable(node)
    if node.step.table is None:
        node.fail("lacks its table")
    return _through(node, executor, _padded(store(node.step.table, node.output)))


def requantize(node: Node, executor: Executor) -> Kernel:
    """Build new parameters for codes, or a Relu or a Clip that is on its own."""
    check_storable(node)
    if node.output.is_float:
        node.fail("the native kernels have no table of float32 values; the reference engine has")
    return _through(node, executor, _rescaled(node, node.inputs[0]))


def concat(node: Node, executor: Executor, axis: int) -> Kernel:
    """Build Concat along an axis of the stored arrays; inputs with other parameters go through a table.

    Args:
        node: the step.
        executor: what runs it.
        axis: of stored codes, which may be another one than that of the step.
    """
    check_storable(node)
    unbounded = node.step.lo is None and node.step.hi is None
    tables = [
        None if info.params == node.output.params and unbounded else _rescaled(node, info)
        for info in node.inputs
    ]

    def run(*parts: Array) -> Array:
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        out = empty(node, tuple(shape))
        rows, column = prod(shape[:axis]), 0
        for part, table in zip(parts, tables, strict=True):
            columns = prod(part.shape[axis:])
            executor.copy(part.reshape(rows, columns), table, out.reshape(rows, -1), column)
            column += columns
        return out

    return run


def _through(node: Node, executor: Executor, table: NDArray[np.uint8]) -> Kernel:
    def run(x: Array) -> Array:
        out = empty(node, x.shape)
        columns = x.shape[-1] if x.ndim else 1
        executor.copy(x.reshape(-1, columns), table, out.reshape(-1, columns), 0)
        return out

    return run


def _rescaled(node: Node, info: TensorInfo) -> NDArray[np.uint8]:
    """Stored codes of the output for every stored code of one input."""
    codes = np.arange(info.qmin, info.qmax + 1).astype(info.dtype)
    return _padded(store(rescale(node, info)(codes), node.output))


def _padded(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    table = np.zeros(_ENTRIES, np.uint8)
    table[: len(codes)] = codes
    return table


KERNELS = {"lut": lut, "requantize": requantize}
