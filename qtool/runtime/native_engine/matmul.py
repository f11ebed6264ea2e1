"""Native products of two computed tensors (ONNX MatMul, opset 13), batched and broadcast as numpy does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.native.codes import MAX_WIDE_BITS, check_storable, stored_max, stored_zero
from qtool.runtime.native.epilogue import prepare_epilogue
from qtool.runtime.native.wide import check_parts, combination, planes_of, sums_epilogue
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits, run_all
from qtool.runtime.native_engine.stored import Stored
from qtool.runtime.native_engine.wide import plane_of
from qtool.runtime.node import Node, reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qtool.runtime.native._kernels import Executor
    from qtool.runtime.node import Array


@dataclass(frozen=True, slots=True, eq=False)
class MatMul:
    """Stacks of matrices; the right ones are packed anew in every call."""

    node: Node
    executor: Executor
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Broadcast the leading axes and multiply the last two; a vector is a matrix for as long."""
        left, right = _as_matrices(*inputs)
        if left[-1] != right[-2]:
            self.node.fail(f"cannot multiply shapes {inputs[0]} and {inputs[1]}")
        rows = left[-2:-1] if len(inputs[0]) > 1 else ()
        columns = right[-1:] if len(inputs[1]) > 1 else ()
        return (*np.broadcast_shapes(left[:-2], right[:-2]), *rows, *columns)

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take tensors whose axes lie in their order."""
        if not fits(*inputs, output) or not all(item.storage.in_order for item in (*inputs, output)):
            return None
        left, right = _as_matrices(inputs[0].storage.shape, inputs[1].storage.shape)
        pairs = _pairs(left[:-2], right[:-2])
        a, b = inputs[0].memory.reshape(-1, *left[-2:]), inputs[1].memory.reshape(-1, *right[-2:])
        out = output.memory.reshape(-1, left[-2], right[-1])
        if a.itemsize > 1 or b.itemsize > 1:
            return self._bind_wide(pairs, a, b, out)
        first, second = self.node.inputs
        epilogue = prepare_epilogue(self.node, *self._sums(left[-1], right[-1]))
        zeros = stored_zero(first), stored_zero(second)
        return partial(self.executor.matmul, epilogue, stored_max(first), zeros, pairs, a, b, out)

    def _bind_wide(self, pairs: NDArray[np.int32], a: Array, b: Array, out: Array) -> Call:
        """Multiply the bytes of both, and combine."""
        scale, largest = self._sums(a.shape[-1], b.shape[-1])
        check_parts(self.node, a.shape[-1])
        sums_only, calls, sums, weights = sums_epilogue(b.shape[-1]), [], [], []
        left, right = (
            [(plane, *plane_of(x, plane)) for plane in planes_of(info)]
            for x, info in zip((a, b), self.node.inputs, strict=True)
        )
        for (first, first_memory, _), (second, second_memory, _) in product(left, right):
            weights.append(2.0 ** (first.shift + second.shift))
            sums.append(np.empty(out.shape, np.int32))
            zeros, greatest = (first.zero, second.zero), max(1, first.greatest)
            parts = sums_only, greatest, zeros, pairs, first_memory, second_memory, sums[-1]
            calls.append(partial(self.executor.matmul, *parts))
        made = combination(self.node, scale, np.zeros(len(scale), np.int64), largest, weights)
        rows = [part.reshape(-1, len(scale)) for part in sums]
        combine = partial(self.executor.combine, made, rows, out.reshape(-1, len(scale)))
        splits = [split for _, _, split in (*left, *right) if split is not None]
        return partial(run_all, [*splits, *calls, combine])

    def _sums(self, depth: int, columns: int) -> tuple[NDArray[np.float64], int]:
        """Return the scale of the sums, for every column, and their greatest magnitude."""
        first, second = self.node.inputs
        scale = np.float64(first.scale) * np.float64(second.scale)
        return np.full(columns, scale), reach(first) * reach(second) * depth


def _as_matrices(left: Shape, right: Shape) -> tuple[Shape, Shape]:
    """Give vectors a second axis; raises `ValueError` for a scalar."""
    if not left or not right:
        raise ValueError("a scalar is no matrix")
    return ((1, *left) if len(left) == 1 else left), ((*right, 1) if len(right) == 1 else right)


def _pairs(left: Shape, right: Shape) -> NDArray[np.int32]:
    """Return which matrices of both stacks make each product, (2, products)."""
    numbers = [np.arange(prod(shape), dtype=np.int32).reshape(shape) for shape in (left, right)]
    return np.stack([part.reshape(-1) for part in np.broadcast_arrays(*numbers)])


def matmul(node: Node, executor: Executor) -> Prepared:
    """Prepare a MatMul of two computed tensors."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    return MatMul(node, executor)


KERNELS = {"matmul": matmul}
