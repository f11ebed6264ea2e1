"""The networks as onnxscript has them: local functions, scalars cast like their operands, nothing fused.

A function's further inputs are its weights; they become constants of the model.
"""

# mypy: ignore-errors
# ruff: noqa: F821, UP037 - names of dimensions in annotations

from __future__ import annotations

import onnx
from onnx import numpy_helper
from onnxscript import FLOAT, script
from onnxscript import opset18 as op
from onnxscript.values import Opset
from zoo_networks import Network

local = Opset("zoo.layers", 1)
"""Where the local functions live."""


@script(local, default_opset=op)
def relu6(x):
    return op.Clip(x, 0.0, 6.0)


@script(local, default_opset=op)
def hard_sigmoid(x):
    return relu6(x + 3.0) / 6.0


@script(local, default_opset=op)
def gelu(x):
    return 0.5 * x * (1.0 + op.Erf(x / 1.4142135623730951))


@script(local, default_opset=op)
def layer_norm(x, gain, bias):
    centered = x - op.ReduceMean(x, [-1])
    variance = op.ReduceMean(centered * centered, [-1])
    return centered / op.Sqrt(variance + 0.00001) * gain + bias


@script(local, default_opset=op)
def linear(x, weight, bias):
    return op.MatMul(x, op.Transpose(weight, perm=[1, 0])) + bias


@script(local, default_opset=op)
def heads(x):
    return op.Transpose(op.Reshape(x, [-1, 6, 2, 8]), perm=[0, 2, 1, 3])


@script(local, default_opset=op)
def attention(query, key, value):
    scores = op.MatMul(heads(query), op.Transpose(heads(key), perm=[0, 1, 3, 2])) / 2.8284271247461903
    mixed = op.MatMul(op.Softmax(scores, axis=-1), heads(value))
    return op.Reshape(op.Transpose(mixed, perm=[0, 2, 1, 3]), [-1, 6, 16])


@script(default_opset=op)
def cnn(
    x: FLOAT["batch", 3, 12, 12], stem_weight, stem_norm_weight, stem_norm_bias, stem_norm_running_mean,
    stem_norm_running_var, depthwise_weight, depthwise_norm_weight, depthwise_norm_bias,
    depthwise_norm_running_mean, depthwise_norm_running_var, pointwise_weight, pointwise_bias, head_weight,
    head_bias,
) -> FLOAT["batch", 5]:  # fmt: skip
    y = op.Conv(x, stem_weight, strides=[2, 2], pads=[1, 1, 1, 1])
    y = op.Relu(op.BatchNormalization(
        y, stem_norm_weight, stem_norm_bias, stem_norm_running_mean, stem_norm_running_var
    ))  # fmt: skip
    y = op.Conv(y, depthwise_weight, group=8, pads=[1, 1, 1, 1])
    y = relu6(op.BatchNormalization(
        y, depthwise_norm_weight, depthwise_norm_bias, depthwise_norm_running_mean, depthwise_norm_running_var
    ))  # fmt: skip
    y = op.Relu(op.Conv(y, pointwise_weight, pointwise_bias))
    return linear(op.ReduceMean(y, [2, 3], keepdims=0), head_weight, head_bias)


@script(default_opset=op)
def residual(
    x: FLOAT["batch", 3, 12, 12], stem_weight, stem_bias, first_weight, first_bias, second_weight,
    second_bias, shortcut_weight, shortcut_bias, head_weight, head_bias,
) -> FLOAT["batch", 5]:  # fmt: skip
    y = op.Relu(op.Conv(x, stem_weight, stem_bias, pads=[1, 1, 1, 1]))
    y = op.MaxPool(y, kernel_shape=[2, 2], strides=[2, 2])
    deep = op.Relu(op.Conv(y, first_weight, first_bias, strides=[2, 2], pads=[1, 1, 1, 1]))
    deep = op.Conv(deep, second_weight, second_bias, pads=[1, 1, 1, 1])
    short = op.Conv(y, shortcut_weight, shortcut_bias, strides=[2, 2])
    return linear(op.Flatten(op.Relu(deep + short)), head_weight, head_bias)


@script(default_opset=op)
def transformer(
    x: FLOAT["batch", 6, 16], before_weight, before_bias, query_weight, query_bias, key_weight, key_bias,
    value_weight, value_bias, output_weight, output_bias, between_weight, between_bias, up_weight, up_bias,
    down_weight, down_bias, head_weight, head_bias,
) -> FLOAT["batch", 5]:  # fmt: skip
    y = layer_norm(x, before_weight, before_bias)
    y = attention(
        linear(y, query_weight, query_bias), linear(y, key_weight, key_bias),
        linear(y, value_weight, value_bias),
    )  # fmt: skip
    z = x + linear(y, output_weight, output_bias)
    y = gelu(linear(layer_norm(z, between_weight, between_bias), up_weight, up_bias))
    z = z + linear(y, down_weight, down_bias)
    return linear(op.ReduceMean(z, [1], keepdims=0), head_weight, head_bias)


@script(default_opset=op)
def lstm(
    x: FLOAT["batch", 7, 6], cell_weight_ih_l0, cell_weight_hh_l0, cell_bias_ih_l0, cell_bias_hh_l0,
    head_weight, head_bias,
) -> FLOAT["batch", 4]:  # fmt: skip
    """PyTorch's gates are input, forget, cell, output; those of ONNX input, output, forget, cell."""
    sequence = op.Transpose(x, perm=[1, 0, 2])
    i, f, c, o = op.Split(cell_weight_ih_l0, num_outputs=4)
    weight = op.Unsqueeze(op.Concat(i, o, f, c, axis=0), [0])
    i, f, c, o = op.Split(cell_weight_hh_l0, num_outputs=4)
    recurrence = op.Unsqueeze(op.Concat(i, o, f, c, axis=0), [0])
    i, f, c, o = op.Split(cell_bias_ih_l0, num_outputs=4)
    k, g, d, p = op.Split(cell_bias_hh_l0, num_outputs=4)
    bias = op.Unsqueeze(op.Concat(i, o, f, c, k, p, g, d, axis=0), [0])
    _, last, _ = op.LSTM(sequence, weight, recurrence, bias, hidden_size=8)
    return linear(op.Squeeze(last, [0]), head_weight, head_bias)


@script(local, default_opset=op)
def reordered(weight):
    """PyTorch's gates are reset, update, new; those of ONNX update, reset, hidden."""
    reset, update, new = op.Split(weight, num_outputs=3)
    return op.Concat(update, reset, new, axis=0)


@script(default_opset=op)
def gru(
    x: FLOAT["batch", 7, 6], cell_weight_ih_l0, cell_weight_hh_l0, cell_bias_ih_l0, cell_bias_hh_l0,
    cell_weight_ih_l0_reverse, cell_weight_hh_l0_reverse, cell_bias_ih_l0_reverse, cell_bias_hh_l0_reverse,
    head_weight, head_bias,
) -> FLOAT["batch", 7, 4]:  # fmt: skip
    weight = op.Concat(
        op.Unsqueeze(reordered(cell_weight_ih_l0), [0]),
        op.Unsqueeze(reordered(cell_weight_ih_l0_reverse), [0]), axis=0,
    )  # fmt: skip
    recurrence = op.Concat(
        op.Unsqueeze(reordered(cell_weight_hh_l0), [0]),
        op.Unsqueeze(reordered(cell_weight_hh_l0_reverse), [0]), axis=0,
    )  # fmt: skip
    ahead = op.Concat(reordered(cell_bias_ih_l0), reordered(cell_bias_hh_l0), axis=0)
    back = op.Concat(reordered(cell_bias_ih_l0_reverse), reordered(cell_bias_hh_l0_reverse), axis=0)
    bias = op.Concat(op.Unsqueeze(ahead, [0]), op.Unsqueeze(back, [0]), axis=0)
    states, _ = op.GRU(
        op.Transpose(x, perm=[1, 0, 2]), weight, recurrence, bias, direction="bidirectional", hidden_size=8,
        linear_before_reset=1,
    )  # fmt: skip
    y = op.Reshape(op.Transpose(states, perm=[2, 0, 1, 3]), [0, 0, -1])
    return linear(y, head_weight, head_bias)


@script(default_opset=op)
def gated(
    x: FLOAT["batch", 3, 8, 8], first_weight, first_bias, second_weight, second_bias, squeeze_weight,
    squeeze_bias, excite_weight, excite_bias, head_weight, head_bias,
) -> FLOAT["batch", 5]:  # fmt: skip
    y = op.Conv(x, first_weight, first_bias, pads=[1, 1, 1, 1])
    y = op.Conv(y * op.Sigmoid(y), second_weight, second_bias, strides=[2, 2], pads=[1, 1, 1, 1])
    y = y * hard_sigmoid(y)
    z = op.Relu(op.Conv(op.GlobalAveragePool(y), squeeze_weight, squeeze_bias))
    y = y * hard_sigmoid(op.Conv(z, excite_weight, excite_bias))
    return linear(op.ReduceMean(y, [2, 3], keepdims=0), head_weight, head_bias)


FUNCTIONS = {it.name: it for it in (cnn, residual, transformer, lstm, gru, gated)}


def onnxscript(network: Network) -> onnx.ModelProto:
    """Return the model of a function, with its weights as initializers."""
    model = FUNCTIONS[network.name].to_model_proto()
    for name, values in network.weights.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name.replace(".", "_")))
    del model.graph.input[1:]
    return model


STYLES = {"onnxscript": onnxscript}
