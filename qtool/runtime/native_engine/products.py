"""Native matrix products and convolutions: Gemm, and Conv of one to three spatial axes, on packed weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING

from passes.artifact import WeightLayout
from qtool.runtime.native.codes import MAX_WIDE_BITS, check_storable
from qtool.runtime.native.conv import prepare_depthwise
from qtool.runtime.native.matrix import prepare_matrix
from qtool.runtime.native.wide import depthwise_parts, is_wide, weighted_parts
from qtool.runtime.native.windows import as_images, window_shape
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits
from qtool.runtime.native_engine.stored import Stored
from qtool.runtime.native_engine.wide import WideProduct
from qtool.runtime.node import Node
from qtool.runtime.window import Window

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Executor
    from qtool.runtime.node import Array


@dataclass(frozen=True, slots=True, eq=False)
class Gemm:
    """Rows times packed weights.

    Attributes:
        node: the step.
        call: takes rows and the output.
        depth: of a row.
        channels: of the output.
    """

    node: Node
    call: Callable[..., None]
    depth: int
    channels: int
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Replace the last axis, which must be as long as a row of weights."""
        (shape,) = inputs
        if not shape or shape[-1] != self.depth:
            self.node.fail(f"expected a last axis of {self.depth}, found an input of shape {shape}")
        return (*shape[:-1], self.channels)

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take rows that lie one after the other."""
        views = self.views(inputs[0], output)
        return None if views is None else partial(self.call, *views)

    def views(self, x: Stored, output: Stored) -> tuple[Array, Array] | None:
        """Return rows, or ``None`` where they do not lie one after the other."""
        if not (x.storage.in_order and output.storage.in_order and fits(x, output)):
            return None
        return x.memory.reshape(-1, self.depth), output.memory.reshape(-1, self.channels)


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """A convolution over images whose channels come last.

    Attributes:
        node: the step.
        call: takes the padding, images and the output.
        window: the window.
    """

    node: Node
    call: Callable[..., None]
    window: Window
    channels_last: bool = True
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Count the windows; the channels must be those of the weights."""
        (shape,) = inputs
        expected = self.node.step.integer("group") * self.node.weight.shape[1]
        if len(shape) < 3 or shape[1] != expected:
            self.node.fail(f"expected {expected} input channels, found an input of shape {shape}")
        return (shape[0], self.node.weight.shape[0], *self.window.output(self.node, shape))

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Take images of one to three spatial axes."""
        views = self.views(inputs[0], output)
        return None if views is None else partial(self.call, inputs[0].storage.zero, *views)

    def views(self, x: Stored, output: Stored) -> tuple[Array, Array] | None:
        """Return images, or ``None`` where they are too large."""
        if not fits(x, output):
            return None
        return as_images(x.memory), as_images(output.memory)


def gemm(node: Node, executor: Executor) -> Prepared:
    """Prepare a Gemm or a MatMul with constant weights."""
    channels = node.weight.shape[1 if node.weight.layout is WeightLayout.IN_OUT else 0]
    depth = prod(node.weight.shape) // channels
    if not is_wide(node):
        return Gemm(node, partial(executor.gemm, prepare_matrix(node, executor)), depth, channels)
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    combination, parts = weighted_parts(node)
    calls = tuple((part.plane, partial(executor.gemm, part.layer)) for part in parts)
    return WideProduct(executor, Gemm(node, executor.gemm, depth, channels), calls, combination)


def conv(node: Node, executor: Executor) -> Prepared:
    """Prepare a convolution: dense, grouped or depthwise."""
    window = Window.of(node, node.weight.shape[2:])
    shape = window_shape(node, window)
    single = node.weight.layout is WeightLayout.DEPTHWISE
    depthwise = single and node.weight.shape[0] == node.step.integer("group")
    kernel: Callable[..., None] = executor.depthwise if depthwise else executor.conv
    if is_wide(node):
        check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
        combination, parts = depthwise_parts(node) if depthwise else weighted_parts(node)
        calls = tuple((part.plane, partial(kernel, part.layer, shape, part.plane.zero)) for part in parts)
        return WideProduct(executor, Conv(node, kernel, window), calls, combination)
    layer = prepare_depthwise(node) if depthwise else prepare_matrix(node, executor)
    return Conv(node, partial(kernel, layer, shape), window)


KERNELS = {"gemm": gemm, "conv": conv}
