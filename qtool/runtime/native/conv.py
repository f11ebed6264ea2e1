"""Native Gemm and Conv (ONNX, opset 11 and 13): kernels from stored NHWC codes to stored codes or float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.artifact import WeightLayout
from qtool.runtime.native.codes import MAX_WIDE_BITS, check_storable, empty, stored_zero
from qtool.runtime.native.epilogue import prepare_epilogue
from qtool.runtime.native.matrix import prepare_matrix
from qtool.runtime.native.windows import as_images, output_extents, window_shape
from qtool.runtime.node import Array, Kernel, Node
from qtool.runtime.weights import Weights
from qtool.runtime.window import Window

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Depthwise, Executor


def gemm(node: Node, executor: Executor) -> Kernel:
    """Build ``x @ weight.T + bias`` along the last axis of stored codes."""
    layer = prepare_matrix(node, executor)
    channels = node.weight.shape[1 if node.weight.layout is WeightLayout.IN_OUT else 0]

    def run(x: Array) -> Array:
        out = empty(node, (*x.shape[:-1], channels))
        executor.gemm(layer, x.reshape(-1, x.shape[-1]), out.reshape(-1, channels))
        return out

    return run


def conv(node: Node, executor: Executor) -> Kernel:
    """Build a convolution over one to three axes; filters of one channel each go their own way.

    Raises:
        ArtifactError: there are four or more spatial axes, or the kernels cannot hold the step.
    """
    window = Window.of(node, node.weight.shape[2:])
    shape, pad_value = window_shape(node, window), stored_zero(node.inputs[0])
    channels = node.weight.shape[0]
    single = node.weight.layout is WeightLayout.DEPTHWISE and channels == node.step.integer("group")
    depthwise = prepare_depthwise(node) if single else None
    matrix = None if single else prepare_matrix(node, executor)

    def run(x: Array) -> Array:
        out = empty(node, (len(x), *output_extents(node, window, x), channels))
        if depthwise is not None:
            executor.depthwise(depthwise, shape, pad_value, as_images(x), as_images(out))
        elif matrix is not None:
            executor.conv(matrix, shape, pad_value, as_images(x), as_images(out))
        return out

    return run


def prepare_depthwise(node: Node) -> Depthwise:
    """Return a convolution with one filter for each channel; weights are unpacked once."""
    from qtool.runtime.native._kernels import Depthwise

    check_storable(node, most_out=MAX_WIDE_BITS)
    weights = Weights.of(node)
    taps = np.ascontiguousarray(weights.codes.reshape(-1, weights.channels), np.int16)
    epilogue = prepare_epilogue(node, weights.scale, weights.largest)
    return Depthwise(taps, stored_zero(node.inputs[0]), np.array(weights.bias, np.int64), epilogue)


KERNELS = {"conv": conv, "gemm": gemm}
