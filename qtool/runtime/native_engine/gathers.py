"""Steps that pick values by index or repeat them: Gather, Resize, Expand, DepthToSpace (ONNX, opset 21)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtool.runtime.native_engine.moves import Move
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, run_all
from qtool.runtime.native_engine.stored import Stored

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Executor
    from qtool.runtime.node import Array, Node

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """Values at some indices of one axis; the axes of the indices take its place."""

    node: Node
    indices: Indices
    axis: int
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Replace the axis; every index must lie inside of it."""
        (shape,) = inputs
        axis = self._axis(len(shape))
        _check_indices(self.node, self.indices, shape[axis])
        return (*shape[:axis], *self.indices.shape, *shape[axis + 1 :])

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take tensors whose axes lie in their order; a single index is a view."""
        (x,) = inputs
        axis = self._axis(len(x.storage.shape))
        indices = self.indices % max(1, x.storage.shape[axis])
        if not indices.ndim:
            view = x.logical[(slice(None),) * axis + (int(indices),)]
            return partial(np.copyto, output.logical, view)
        if not (x.storage.in_order and output.storage.in_order):
            return None
        memory = output.memory.reshape(output.storage.shape)
        source = x.memory.reshape(x.storage.shape)
        return partial(np.take, source, indices, axis, out=memory, mode="clip")

    def _axis(self, rank: int) -> int:
        if not -rank <= self.axis < rank:
            self.node.fail(f"there is no axis {self.axis} in an input of {rank} axes")
        return self.axis % rank


@dataclass(frozen=True, slots=True, eq=False)
class Resize:
    """Values at some indices of several axes, one axis after the other."""

    node: Node
    positions: Callable[[Shape], dict[int, Indices]]
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Replace the axes; every index must lie inside of its own."""
        (shape,) = inputs
        extents = [*shape]
        for axis, indices in self.positions(shape).items():
            _check_indices(self.node, indices, shape[axis])
            extents[axis] = len(indices)
            self.node.check_size(extents)
        return tuple(extents)

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take any order of axes, as long as both tensors share it."""
        (x,) = inputs
        if x.storage.order != output.storage.order:
            return None
        calls: list[Call] = []
        source = x.memory
        steps = [*self.positions(x.storage.shape).items()]
        for number, (axis, indices) in enumerate(steps, start=1):
            place = output.storage.order.index(axis)
            extents = (*source.shape[:place], len(indices), *source.shape[place + 1 :])
            made = output.memory if number == len(steps) else np.empty(extents, source.dtype)
            places = indices % max(1, source.shape[place])
            calls.append(partial(np.take, source, places, place, out=made, mode="clip"))
            source = made
        return partial(run_all, calls) if calls else partial(np.copyto, output.memory, x.memory)


@dataclass(frozen=True, slots=True, eq=False)
class DepthToSpace:
    """Channels become blocks of pixels: one copy between two views of six axes."""

    node: Node
    size: int
    depth_first: bool
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Divide the channels by the elements of a block."""
        (shape,) = inputs
        if len(shape) != 4 or shape[1] % self.size**2:
            self.node.fail(f"expected images with a multiple of {self.size**2} channels, found {shape}")
        batch, channels, height, width = shape
        return (batch, channels // self.size**2, height * self.size, width * self.size)

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take any layout on either side."""
        batch, channels, height, width = inputs[0].storage.shape
        size, inner = self.size, channels // self.size**2
        split = (size, size, inner) if self.depth_first else (inner, size, size)
        order = (0, 3, 4, 1, 5, 2) if self.depth_first else (0, 1, 4, 2, 5, 3)
        # To split an axis never takes a copy.
        blocks = inputs[0].logical.reshape(batch, *split, height, width).transpose(order)
        return partial(np.copyto, output.logical.reshape(batch, inner, height, size, width, size), blocks)


def gather(node: Node, _executor: Executor) -> Prepared:
    """Prepare a Gather with constant indices."""
    indices = _table(node).reshape(node.step.integers("shape"))
    return Gather(node, indices, node.step.integer("axis"))


def resize(node: Node, _executor: Executor) -> Prepared:
    """Prepare a Resize to the nearest element, by positions."""
    axes, sizes = node.step.integers("axes"), node.step.integers("sizes")
    if len(axes) != len(sizes) or len({*axes}) != len(axes):
        node.fail("expected as many sizes as axes, and every axis once")
    parts = np.split(_table(node), np.cumsum(sizes)[:-1])
    return Resize(node, lambda shape: _by_axis(node, len(shape), axes, parts))


def upsample(node: Node, _executor: Executor) -> Prepared:
    """Prepare a Resize by whole factors."""
    axes, factors = node.step.integers("axes"), node.step.integers("factors")
    if len(axes) != len(factors) or len({*axes}) != len(axes):
        node.fail("expected as many factors as axes, and every axis once")

    def positions(shape: Shape) -> dict[int, Indices]:
        parts = []
        for axis, factor in zip(axes, factors, strict=True):
            node.check_size([*shape, factor])
            parts.append(np.arange(shape[axis] * factor) // max(1, factor))
        return _by_axis(node, len(shape), axes, parts)

    return Resize(node, positions)


def expand(node: Node, _executor: Executor) -> Prepared:
    """Prepare an Expand."""
    target = node.step.integers("shape")

    def view(x: Array) -> Array:
        shape = np.broadcast_shapes(x.shape, target)
        node.check_size(shape)
        return np.broadcast_to(x, shape)

    return Move(view)


def depth_to_space(node: Node, _executor: Executor) -> Prepared:
    """Prepare a DepthToSpace of either mode."""
    return DepthToSpace(node, node.step.integer("blocksize"), node.step.attrs["mode"] == "DCR")


def _by_axis(node: Node, rank: int, axes: Sequence[int], parts: Sequence[Any]) -> dict[int, Indices]:
    if any(not -rank <= axis < rank for axis in axes):
        node.fail(f"there are no axes {[*axes]} in an input of {rank} axes")
    return {axis % rank: part for axis, part in zip(axes, parts, strict=True)}


def _table(node: Node) -> Indices:
    if node.step.table is None:
        node.fail("lacks its indices")
    return node.step.table


def _check_indices(node: Node, indices: Indices, extent: int) -> None:
    if indices.size and not -extent <= indices.min() <= indices.max() < extent:
        node.fail(f"indices {indices.min()}..{indices.max()} leave an axis of {extent}")


KERNELS = {
    "gather": gather,
    "resize": resize,
    "upsample": upsample,
    "expand": expand,
    "depth_to_space": depth_to_space,
}
