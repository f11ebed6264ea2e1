"""Native matrix products and convolutions: Gemm, and Conv of one or two spatial axes, on packed weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING

from passes.artifact import WeightLayout
from qtool.runtime.native.conv import prepare_depthwise
from qtool.runtime.native.matrix import prepare_matrix
from qtool.runtime.native.windows import as_images, window_shape
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits
from qtool.runtime.native_engine.stored import Stored
from qtool.runtime.node import Node
from qtool.runtime.window import Window

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Executor
    from qtool.runtime.native._kernels import Gemm as PackedProduct


@dataclass(frozen=True, slots=True, eq=False)
class Gemm:
    """Rows times packed weights."""

    node: Node
    executor: Executor
    layer: PackedProduct
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
        (x,) = inputs
        if not (x.storage.in_order and output.storage.in_order and fits(x, output)):
            return None
        rows, out = x.memory.reshape(-1, self.depth), output.memory.reshape(-1, self.channels)
        return partial(self.executor.gemm, self.layer, rows, out)


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
        """Take images of one or two spatial axes."""
        (x,) = inputs
        if not fits(x, output):
            return None
        images = as_images(x.memory), as_images(output.memory)
        return partial(self.call, x.storage.zero, *images)


def gemm(node: Node, executor: Executor) -> Prepared:
    """Prepare a Gemm or a MatMul with constant weights."""
    channels = node.weight.shape[1 if node.weight.layout is WeightLayout.IN_OUT else 0]
    layer = prepare_matrix(node, executor)
    return Gemm(node, executor, layer, prod(node.weight.shape) // channels, channels)


def conv(node: Node, executor: Executor) -> Prepared:
    """Prepare a convolution: dense, grouped or depthwise."""
    window = Window.of(node, node.weight.shape[2:])
    shape = window_shape(node, window)
    single = node.weight.layout is WeightLayout.DEPTHWISE
    if single and node.weight.shape[0] == node.step.integer("group"):
        call: Callable[..., None] = partial(executor.depthwise, prepare_depthwise(node), shape)
    else:
        call = partial(executor.conv, prepare_matrix(node, executor), shape)
    return Conv(node, call, window)


KERNELS = {"gemm": gemm, "conv": conv}
