"""The networks as converters from TensorFlow write them: channels last, Transposes around convolutions.

Biases are added apart, paddings explicit, normalizations and activations of small operators; opset 13.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from zoo_networks import Network

TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


class Builder:
    """A graph node by node; names are those of the operators, with numbers."""

    def __init__(self, network: Network) -> None:
        self.network, self.nodes = network, list[onnx.NodeProto]()
        self.constants = list[onnx.TensorProto]()

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        """Append a node with one output; return that output's name."""
        name = f"model/{op.lower()}_{len(self.nodes)}:0"
        self.nodes.append(helper.make_node(op, inputs, [name], name.removesuffix(":0"), **attributes))
        return name

    def constant(self, values: NDArray[np.generic] | list[int] | float) -> str:
        """Add a constant; return its name."""
        kind = np.int64 if isinstance(values, list) else np.float32
        name = f"const_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def weight(self, name: str) -> NDArray[np.float32]:
        """Return a weight in PyTorch's layout."""
        return np.asarray(self.network.weights[name])

    def conv(self, x: str, name: str, stride: int = 1, pad: int = 0, group: int = 1) -> str:
        """Convolve (N, H, W, C) between two Transposes; zeros are padded before, the bias is added after."""
        if pad:
            x = self.add("Pad", x, self.constant([0, pad, pad, 0, 0, pad, pad, 0]), self.constant(0.0))
        weight = self.constant(self.weight(f"{name}.weight"))
        x = self.add("Transpose", x, perm=TO_FIRST)
        x = self.add("Conv", x, weight, strides=[stride, stride], group=group)
        x = self.add("Transpose", x, perm=TO_LAST)
        return self.bias(x, name) if f"{name}.bias" in self.network.weights else x

    def bias(self, x: str, name: str) -> str:
        """Add a bias along the last axis."""
        return self.add("Add", x, self.constant(self.weight(f"{name}.bias")))

    def dense(self, x: str, name: str) -> str:
        """Multiply the last axis by a matrix of (in, out), and add a bias."""
        return self.bias(self.add("MatMul", x, self.constant(self.weight(f"{name}.weight").T)), name)

    def batch_norm(self, x: str, name: str) -> str:
        """Normalize the last axis by a factor and a summand, as frozen graphs do."""
        factor = self.weight(f"{name}.weight") / np.sqrt(
            self.weight(f"{name}.running_var") + np.float32(1e-5)
        )
        summand = self.weight(f"{name}.bias") - self.weight(f"{name}.running_mean") * factor
        return self.add("Add", self.add("Mul", x, self.constant(factor)), self.constant(summand))

    def relu6(self, x: str) -> str:
        """Clip to 0..6 as two operators."""
        return self.add("Min", self.add("Relu", x), self.constant(6.0))

    def hard_sigmoid(self, x: str) -> str:
        """Return relu6(x + 3) / 6."""
        return self.add("Mul", self.relu6(self.add("Add", x, self.constant(3.0))), self.constant(1 / 6))

    def layer_norm(self, x: str, name: str) -> str:
        """Return x * f + (bias - mean * f), where f is the gain over the standard deviation."""
        mean = self.add("ReduceMean", x, axes=[-1])
        centered = self.add("Sub", x, mean)
        variance = self.add("ReduceMean", self.add("Mul", centered, centered), axes=[-1])
        root = self.add("Sqrt", self.add("Add", variance, self.constant(1e-5)))
        factor = self.add("Mul", self.add("Reciprocal", root), self.constant(self.weight(f"{name}.weight")))
        shift = self.add("Sub", self.constant(self.weight(f"{name}.bias")), self.add("Mul", mean, factor))
        return self.add("Add", self.add("Mul", x, factor), shift)

    def gelu(self, x: str) -> str:
        """Return 0.5 * x * (1 + erf(x / sqrt(2)))."""
        erf = self.add("Erf", self.add("Mul", x, self.constant(0.70710678)))
        half = self.add("Mul", x, self.constant(0.5))
        return self.add("Mul", half, self.add("Add", erf, self.constant(1.0)))

    def split_heads(self, x: str, perm: list[int]) -> str:
        """Cut (N, 6, 16) into two heads of 8."""
        return self.add("Transpose", self.add("Reshape", x, self.constant([-1, 6, 2, 8])), perm=perm)

    def gates(self, kind: str, order: list[int], suffixes: list[str]) -> NDArray[np.float32]:
        """Return gates of `cell` in another order, stacked by direction."""
        parts = [np.split(self.weight(f"cell.{kind}_{suffix}"), len(order)) for suffix in suffixes]
        return np.stack([np.concatenate([part[at] for at in order]) for part in parts])

    def recurrent(self, x: str, op: str, order: list[int], suffixes: list[str], **more: object) -> list[str]:
        """Run a recurrent layer over (N, T, C); return its states and the last of them."""
        bias = np.concatenate([self.gates(f"bias_{it}", order, suffixes) for it in ("ih", "hh")], axis=1)
        constants = [self.gates(f"weight_{it}", order, suffixes) for it in ("ih", "hh")]
        feeds = [self.constant(it) for it in (*constants, bias)]
        outputs = [f"model/{op}:{index}" for index in (0, 1)]
        x = self.add("Transpose", x, perm=[1, 0, 2])
        self.nodes.append(helper.make_node(op, [x, *feeds], outputs, f"model/{op}", hidden_size=8, **more))
        return outputs

    def model(self, y: str, output: list[int | str]) -> onnx.ModelProto:
        """Return the model that computes one tensor from `x`."""
        *places, channels = [*self.network.shape[1:], self.network.shape[0]]
        shape = ["batch", *places, channels] if len(places) > 1 else ["batch", *self.network.shape]
        ends = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims)
            for name, dims in (("x", shape), (y, ["batch", *output]))
        ]
        graph = helper.make_graph(self.nodes, "tf2onnx", ends[:1], ends[1:], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def cnn(b: Builder) -> onnx.ModelProto:
    y = b.add("Relu", b.batch_norm(b.conv("x", "stem", stride=2, pad=1), "stem_norm"))
    y = b.relu6(b.batch_norm(b.conv(y, "depthwise", pad=1, group=8), "depthwise_norm"))
    y = b.add("Relu", b.conv(y, "pointwise"))
    return b.model(b.dense(b.add("ReduceMean", y, axes=[1, 2], keepdims=0), "head"), [5])


def residual(b: Builder) -> onnx.ModelProto:
    """The product reads what a Flatten of (H, W, C) gives: its rows are in another order."""
    y = b.add("Transpose", b.add("Relu", b.conv("x", "stem", pad=1)), perm=TO_FIRST)
    y = b.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = b.add("Transpose", y, perm=TO_LAST)
    deep = b.conv(b.add("Relu", b.conv(y, "first", stride=2, pad=1)), "second", pad=1)
    y = b.add("Relu", b.add("Add", deep, b.conv(y, "shortcut", stride=2)))
    y = b.add("Reshape", y, b.constant([-1, 72]))
    weight = b.weight("head.weight").reshape(5, 8, 3, 3).transpose(2, 3, 1, 0).reshape(72, 5)
    return b.model(b.bias(b.add("MatMul", y, b.constant(weight)), "head"), [5])


def transformer(b: Builder) -> onnx.ModelProto:
    y = b.layer_norm("x", "before")
    query = b.split_heads(b.dense(y, "query"), [0, 2, 1, 3])
    key = b.split_heads(b.dense(y, "key"), [0, 2, 3, 1])
    value = b.split_heads(b.dense(y, "value"), [0, 2, 1, 3])
    scores = b.add("Mul", b.add("MatMul", query, key), b.constant(8**-0.5))
    y = b.add("MatMul", b.add("Softmax", scores, axis=-1), value)
    y = b.add("Reshape", b.add("Transpose", y, perm=[0, 2, 1, 3]), b.constant([-1, 6, 16]))
    x = b.add("Add", "x", b.dense(y, "output"))
    y = b.dense(b.gelu(b.dense(b.layer_norm(x, "between"), "up")), "down")
    x = b.add("ReduceMean", b.add("Add", x, y), axes=[1], keepdims=0)
    return b.model(b.dense(x, "head"), [5])


def lstm(b: Builder) -> onnx.ModelProto:
    _, last = b.recurrent("x", "LSTM", [0, 3, 1, 2], ["l0"])
    return b.model(b.dense(b.add("Squeeze", last, b.constant([0])), "head"), [4])


def gru(b: Builder) -> onnx.ModelProto:
    more = {"direction": "bidirectional", "linear_before_reset": 1}
    states, _ = b.recurrent("x", "GRU", [1, 0, 2], ["l0", "l0_reverse"], **more)
    states = b.add("Transpose", states, perm=[2, 0, 1, 3])
    return b.model(b.dense(b.add("Reshape", states, b.constant([-1, 7, 16])), "head"), [7, 4])


def gated(b: Builder) -> onnx.ModelProto:
    y = b.conv("x", "first", pad=1)
    y = b.conv(b.add("Mul", y, b.add("Sigmoid", y)), "second", stride=2, pad=1)
    y = b.add("Mul", y, b.hard_sigmoid(y))
    pooled = b.add("ReduceMean", y, axes=[1, 2], keepdims=1)
    gate = b.conv(b.add("Relu", b.conv(pooled, "squeeze")), "excite")
    y = b.add("Mul", y, b.hard_sigmoid(gate))
    return b.model(b.dense(b.add("ReduceMean", y, axes=[1, 2], keepdims=0), "head"), [5])


NETWORKS = {it.__name__: it for it in (cnn, residual, transformer, lstm, gru, gated)}


def channels_last(network: Network) -> onnx.ModelProto:
    """Return the model of a network; images come in as (N, H, W, C)."""
    return NETWORKS[network.name](Builder(network))


STYLES = {"channels_last": channels_last}
