"""Steps beside the activations: rows of a table (ONNX Gather, opset 13), truth values and constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.indices import check_rows
from qtool.runtime.movement import constant as constant_kernel
from qtool.runtime.native.codes import store
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape
from qtool.runtime.native_engine.stored import Stored
from qtool.runtime.node import Array, Node

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Executor


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Rows of a table of stored codes, by index; negative ones count from the back."""

    node: Node
    table: Array
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """A row in place of every index."""
        return (*inputs[0], self.table.shape[1])

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take tensors whose axes lie in their order."""
        (x,) = inputs
        if not (x.storage.in_order and output.storage.in_order):
            return None
        rows = output.memory.reshape(-1, self.table.shape[1])
        return partial(self._look_up, x.memory.reshape(-1), rows)

    def _look_up(self, indices: Array, rows: Array) -> None:
        check_rows(self.node, indices, len(self.table))
        np.take(self.table, indices, 0, out=rows, mode="wrap")


@dataclass(frozen=True, slots=True, eq=False)
class Nonzero:
    """1 where an integer is not 0."""

    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Keep the shape."""
        return inputs[0]

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take any layout on either side."""
        return partial(np.not_equal, inputs[0].logical, 0, out=output.logical)


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Codes that a plan writes once, when it is made."""

    codes: Array
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *_inputs: Shape) -> Shape:
        """Shape of the codes."""
        return self.codes.shape

    def bind(self, _inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Write the codes."""
        return partial(output.write, self.codes)


def embedding(node: Node, _executor: Executor) -> Prepared:
    """Prepare a Gather of rows of a table."""
    codes = np.ascontiguousarray(node.weight.unpack()).astype(node.output.dtype)
    return Embedding(node, store(codes, node.output))


def nonzero(_node: Node, _executor: Executor) -> Prepared:
    """Prepare a Cast to bool."""
    return Nonzero()


def constant(node: Node, _executor: Executor) -> Prepared:
    """Prepare a tensor that does not depend on the inputs."""
    return Constant(constant_kernel(node)())


KERNELS = {"embedding": embedding, "nonzero": nonzero, "constant": constant}
