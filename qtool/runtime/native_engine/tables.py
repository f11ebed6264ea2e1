"""Native functions of one code, as tables: lut and requantize, and Concat, which copies through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.lut import lut as lut_kernel
from qtool.runtime.lut import rescale
from qtool.runtime.native.codes import MAX_WIDE_BITS, check_storable, code_bytes, stored_type
from qtool.runtime.native_engine.elementwise import long_rows
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits, in_rows, run_all
from qtool.runtime.native_engine.stored import Storage, Stored

if TYPE_CHECKING:
    from passes.artifact import TensorInfo
    from qtool.runtime.native._kernels import Executor
    from qtool.runtime.node import Array, Kernel, Node


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A function of one code, as a table of what is stored for what is stored."""

    executor: Executor
    table: Array
    channels_last: bool = False
    in_place: bool = True

    def shape(self, *inputs: Shape) -> Shape:
        """Keep the shape."""
        return inputs[0]

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take tensors whose values lie in the same order."""
        (x,) = inputs
        if x.memory.shape != output.memory.shape or not fits(x, output):
            return None
        if not (x.storage.is_bytes and output.storage.is_bytes):
            # The codes index the table, so no mode has anything to do; this one writes without a buffer.
            return partial(np.take, self.table, x.memory, out=output.memory, mode="clip")
        rows = long_rows(x.memory.shape)
        return partial(
            self.executor.copy, x.memory.reshape(rows, -1), self.table, output.memory.reshape(rows, -1), 0
        )


@dataclass(frozen=True, slots=True, eq=False)
class Concat:
    """Parts side by side; a part with other parameters goes through a table."""

    node: Node
    executor: Executor
    tables: tuple[Array | None, ...]
    axis: int
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Add up the extents along the axis; the others must be equal."""
        axis = self.axis + len(inputs[0]) if self.axis < 0 else self.axis
        others = {(*shape[:axis], *shape[axis + 1 :]) for shape in inputs}
        if not 0 <= axis < len(inputs[0]) or len(others) > 1 or len({*map(len, inputs)}) > 1:
            self.node.fail(f"cannot join shapes {[*inputs]} along axis {self.axis}")
        return (*inputs[0][:axis], sum(shape[axis] for shape in inputs), *inputs[0][axis + 1 :])

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take parts whose axes lie as those of the output."""
        order = output.storage.order
        if not fits(*inputs, output) or any(item.storage.order != order for item in inputs):
            return None
        axis = order.index(self.axis % len(order))
        whole = in_rows(output.memory, axis)
        calls: list[Call] = []
        column = 0
        for item, table in zip(inputs, self.tables, strict=True):
            part = in_rows(item.memory, axis)
            if part.itemsize == whole.itemsize == 1:
                calls.append(partial(self.executor.copy, part, table, whole, column))
            else:
                calls.append(partial(_copy_wide, part, table, whole[:, column : column + part.shape[1]]))
            column += part.shape[1]
        return partial(run_all, calls)


def _copy_wide(part: Array, table: Array | None, out: Array) -> None:
    np.copyto(out, part if table is None else table[part])


def lut(node: Node, executor: Executor) -> Prepared:
    """Prepare a table of output codes."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    return Table(executor, _stored_table(lut_kernel(node), node.inputs[0], node.output))


def requantize(node: Node, executor: Executor) -> Prepared:
    """Prepare new parameters, a Relu or a Clip on its own, or the way to float32."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    return Table(executor, _stored_table(rescale(node, node.inputs[0]), node.inputs[0], node.output))


def concat(node: Node, executor: Executor) -> Prepared:
    """Prepare a Concat."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    unbounded = node.step.lo is None and node.step.hi is None
    tables = tuple(
        None
        if unbounded and info.params == node.output.params
        else _stored_table(rescale(node, info), info, node.output)
        for info in node.inputs
    )
    return Concat(node, executor, tables, node.step.integer("axis"))


def _stored_table(kernel: Kernel, source: TensorInfo, output: TensorInfo) -> Array:
    """Ask the reference kernel for every code, and arrange the answers as both tensors are stored."""
    values = kernel(np.arange(source.qmin, source.qmax + 1).astype(source.dtype))
    table = np.zeros(1 << 8 * code_bytes(source), stored_type(output))
    form = Storage(output, (len(values),))
    form.at(table.view(np.uint8)).write(values)
    return table


KERNELS = {"lut": lut, "requantize": requantize, "concat": concat}
