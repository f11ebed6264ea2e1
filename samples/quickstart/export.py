"""Writes the trained sample network as ONNX, node by node, so that batch normalization stays visible.

Torch's own exporter folds BatchNormalization into the convolutions; here ``fold-batchnorm`` is to do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    import numpy as np
    from network import ConvBlock, DigitsNet
    from numpy.typing import NDArray
    from torch import Tensor

OPSET = 17
IR_VERSION = 8


class GraphWriter:
    """Collects nodes and initializers; every method returns the name of the tensor it makes."""

    def __init__(self) -> None:
        """Start with an empty graph."""
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, op: str, name: str, *inputs: str, **attributes: object) -> str:
        """Append one node; its only output has the node's name."""
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: Tensor) -> str:
        """Append an initializer, float32."""
        array: NDArray[np.float32] = value.detach().float().numpy()
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def conv_block(self, name: str, block: ConvBlock, source: str) -> str:
        """Append Conv, BatchNormalization with its running statistics, and Relu, Clip(0, 6) or nothing."""
        pad = block.conv.padding[0]
        weight = self.constant(f"{name}.weight", block.conv.weight)
        x = self.node(
            "Conv", f"{name}.conv", source, weight,
            kernel_shape=list(block.conv.kernel_size), pads=[pad] * 4, group=block.conv.groups,
        )  # fmt: skip
        norm = block.norm
        statistics = {
            "gamma": norm.weight,
            "beta": norm.bias,
            "mean": norm.running_mean,
            "var": norm.running_var,
        }
        names = [self.constant(f"{name}.{key}", value) for key, value in statistics.items()]
        x = self.node("BatchNormalization", f"{name}.norm", x, *names, epsilon=norm.eps)
        if block.activation == "none":
            return x
        if block.activation == "relu":
            return self.node("Relu", f"{name}.relu", x)
        return self.node("Clip", f"{name}.relu6", x, "zero", "six")


def to_onnx(net: DigitsNet) -> onnx.ModelProto:
    """Build the checked opset 17 model: ``image`` float32 (N, 1, 8, 8) to ``logits`` float32 (N, 10)."""
    write = GraphWriter()
    _write_layers(write, net)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])
    graph = helper.make_graph(write.nodes, "digits", [image], [logits], initializer=write.initializers)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(
        graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="qtool-samples"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _write_layers(write: GraphWriter, net: DigitsNet) -> None:
    """Append the layers in the order of ``DigitsNet.forward``."""
    bound = net.classifier.weight.new_tensor
    write.constant("zero", bound(0.0))
    write.constant("six", bound(6.0))
    x = write.conv_block("stem", net.stem, "image")
    x = write.conv_block("depthwise", net.depthwise, x)
    shortcut = write.conv_block("pointwise", net.pointwise, x)
    x = write.conv_block("residual_in", net.residual_in, shortcut)
    x = write.conv_block("residual_out", net.residual_out, x)
    x = write.node("Relu", "residual.relu", write.node("Add", "residual.add", shortcut, x))
    x = write.node("MaxPool", "pool", x, kernel_shape=[2, 2], strides=[2, 2])
    narrow = write.conv_block("branch_narrow", net.branch_narrow, x)
    wide = write.conv_block("branch_wide", net.branch_wide, x)
    x = write.node("Concat", "branches", narrow, wide, axis=1)
    x = write.node("Flatten", "features", write.node("GlobalAveragePool", "average", x), axis=1)
    weight = write.constant("classifier.weight", net.classifier.weight)
    bias = write.constant("classifier.bias", net.classifier.bias)
    write.node("Gemm", "logits", x, weight, bias, transB=1)
