"""Native sums and products of two tensors, broadcast along leading axes, in rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from qtool.runtime.native.elementwise import common_type, prepare_product, prepare_sum
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits, run_all
from qtool.runtime.native_engine.stored import Storage, Stored

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Executor
    from qtool.runtime.node import Array, Node

ROW = 4096
"""Columns that a row should have at least, so that the work per row does not count."""
MAX_CALLS = 8
"""Calls into which a broadcast over images may be cut; where it takes more, operands are spread out first."""


@dataclass(frozen=True, slots=True, eq=False)
class Elementwise:
    """A function of two tensors of codes.

    Attributes:
        type: in which the kernel reads both operands.
        call: takes two operands and an output of (rows, columns), the operands of as many rows or of one.
    """

    type: np.dtype[Any]
    call: Callable[..., None]
    channels_last: bool = False
    in_place: bool = True

    def shape(self, *inputs: Shape) -> Shape:
        """Broadcast as numpy does."""
        return np.broadcast_shapes(*inputs)

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take operands that are equal or repeat along leading axes as they lie; others are spread out."""
        aligned = [_aligned(item, output.storage) for item in inputs]
        first, second = aligned
        if not fits(*inputs, output) or first is None or second is None:
            return None
        views = [self._typed(first), self._typed(second)]
        calls = self._calls(views[0], views[1], output.memory)
        if calls is None:
            views = [np.empty(output.memory.shape, self.type) for _ in views]
            calls = self._calls(views[0], views[1], output.memory) or []
        pairs = zip(views, (first, second), strict=True)
        copies: list[Call] = [partial(np.copyto, view, part) for view, part in pairs if view is not part]
        return calls[0] if len(calls) == 1 and not copies else partial(run_all, [*copies, *calls])

    def _typed(self, part: Array) -> Array:
        """Return room for an operand of another type."""
        return part if part.dtype == self.type else np.empty(part.shape, self.type)

    def _calls(self, a: Array, b: Array, out: Array) -> list[Call] | None:
        """Cut into a few calls; ``None`` where no such cut is known."""
        if a.shape == b.shape == out.shape:
            rows = long_rows(out.shape)
            return [partial(self.call, a.reshape(rows, -1), b.reshape(rows, -1), out.reshape(rows, -1))]
        for first, second, swapped in ((a, b, False), (b, a, True)):
            columns = _repeated_columns(first.shape, second.shape, out.shape)
            if columns:
                whole, row = first.reshape(-1, columns), second.reshape(1, -1)
                return [self._repeat(whole, row, out.reshape(-1, columns), swapped)]
        if out.ndim < 2 or len({len(a), len(b), len(out)}) > 1 or len(out) > MAX_CALLS:
            return None
        parts = [self._calls(a[index], b[index], out[index]) for index in range(len(out))]
        calls = [call for part in parts if part is not None for call in part]
        return calls if None not in parts and len(calls) <= MAX_CALLS else None

    def _repeat(self, whole: Array, row: Array, out: Array, swapped: bool) -> Call:
        """Call with one operand that has one row, or one value that must become a row first."""
        wide = row if row.size == out.shape[1] else np.empty((1, out.shape[1]), row.dtype)
        operands = (wide, whole) if swapped else (whole, wide)
        call = partial(self.call, *operands, out)
        return call if wide is row else partial(_spread_first, row, wide, call)


def _spread_first(value: Array, row: Array, call: Call) -> None:
    np.copyto(row, value)
    call()


def _aligned(item: Stored, output: Storage) -> Array | None:
    """View a tensor with the axes of the output, in their order; ``None`` where it does not lie so."""
    rank = len(output.shape)
    logical = item.logical
    view = logical[(np.newaxis,) * (rank - logical.ndim)].transpose(output.order)
    return view if view.flags.c_contiguous else None


def long_rows(shape: Shape) -> int:
    """Number of rows, each of `ROW` columns or more where there are as many elements."""
    axis = 0
    while axis < len(shape) and prod(shape[axis + 1 :]) >= ROW:
        axis += 1
    return prod(shape[:axis])


def _repeated_columns(whole: Shape, part: Shape, out: Shape) -> int:
    """Columns of a row when `part` repeats along leading axes, or is one value; 0 when it does not."""
    if whole != out:
        return 0
    if prod(part) == 1:
        return prod(out) // long_rows(out)
    axis = next((index for index, extent in enumerate(part) if extent != 1), len(part))
    return prod(out[axis:]) if part[axis:] == out[axis:] else 0


def add(node: Node, executor: Executor) -> Prepared:
    """Prepare ``a + b``."""
    return Elementwise(common_type(node), partial(executor.sum, prepare_sum(node, 1)))


def sub(node: Node, executor: Executor) -> Prepared:
    """Prepare ``a - b``."""
    return Elementwise(common_type(node), partial(executor.sum, prepare_sum(node, -1)))


def mul(node: Node, executor: Executor) -> Prepared:
    """Prepare ``a * b``."""
    return Elementwise(common_type(node), partial(executor.product, *prepare_product(node)))


KERNELS = {"add": add, "sub": sub, "mul": mul}
