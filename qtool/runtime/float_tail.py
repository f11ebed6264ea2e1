"""The float32 tail of a network (ONNX Softmax, LogSoftmax and Sigmoid, opset 13)."""

from __future__ import annotations

import numpy as np

from qtool.runtime.node import Array, Kernel, Node


def softmax(node: Node) -> Kernel:
    """Build the kernel for Softmax along one axis."""
    axis = node.step.integer("axis")

    def run(x: Array) -> Array:
        powers = np.exp(x - x.max(axis, keepdims=True))
        return np.asarray(powers / powers.sum(axis, keepdims=True))

    return run


def log_softmax(node: Node) -> Kernel:
    """Build the kernel for LogSoftmax along one axis."""
    axis = node.step.integer("axis")

    def run(x: Array) -> Array:
        shifted = x - x.max(axis, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis, keepdims=True)))

    return run


def sigmoid(_node: Node) -> Kernel:
    """Build the kernel for Sigmoid, without overflow on either side."""

    def run(x: Array) -> Array:
        power = np.exp(-np.abs(x))
        return np.where(x >= 0, np.float32(1), power) / (np.float32(1) + power)

    return run


KERNELS = {"softmax": softmax, "log_softmax": log_softmax, "sigmoid": sigmoid}
