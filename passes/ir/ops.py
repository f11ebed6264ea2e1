"""The one table of facts about ONNX operators: what may be quantized, and how it behaves.

Every other file asks here; none compares operator names on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OpClass(StrEnum):
    """How an operator takes part in integer execution."""

    LAYER = "layer"
    """Multiplies activations by weights (or by other activations) into wide accumulators."""
    ARITHMETIC = "arithmetic"
    """Combines codes and rescales the result: its output has parameters of its own."""
    CLAMP = "clamp"
    """Limits values: disappears into the saturation of the operator before it."""
    UNARY = "unary"
    """A function of one element: a table over the input's codes."""
    METHOD = "method"
    """Has a method of its own on codes, with a stated error: a normalization, arithmetic with a constant."""
    MOVE = "move"
    """Copies or selects codes: its output must share the parameters of its input."""
    SOURCE = "source"
    """Yields codes from integers or constants: rows of a table by index, a table cut to a length, a Cast."""
    MASK = "mask"
    """Hides scores from a Softmax: disappears into it."""
    FLOAT = "float"
    """Stays in floating point; the report says so."""


@dataclass(frozen=True, slots=True)
class OpInfo:
    """Facts about one operator.

    Attributes:
        kind: its class.
        data_inputs: how many leading inputs carry data; ``None`` means all of them.
        weight_input: index of the weight, for layers.
        bias_input: index of the bias, for layers that have one.
        out_channel_axis: axis of the weight that runs over output channels (ONNX layout).
        in_channel_axis: axis of the weight that runs over input channels.
        view: True when the output is the input under another shape, so that nothing is moved.
        selects: True when no more is read than is written.
    """

    kind: OpClass
    data_inputs: int | None = 1
    weight_input: int | None = None
    bias_input: int | None = None
    out_channel_axis: int | None = None
    in_channel_axis: int | None = None
    view: bool = False
    selects: bool = False


def _table() -> dict[str, OpInfo]:
    table = {
        "Conv": OpInfo(OpClass.LAYER, 1, 1, 2, 0, 1),
        "ConvTranspose": OpInfo(OpClass.LAYER, 1, 1, 2, 1, 0),
        "Gemm": OpInfo(OpClass.LAYER, 1, 1, 2, None, None),
        "MatMul": OpInfo(OpClass.LAYER, 2, 1, None, -1, -2),
        **dict.fromkeys(("LSTM", "GRU", "RNN"), OpInfo(OpClass.LAYER, 1, 1, None, 1, 2)),
        "Add": OpInfo(OpClass.ARITHMETIC, 2),
        "Sub": OpInfo(OpClass.ARITHMETIC, 2),
        "Mul": OpInfo(OpClass.ARITHMETIC, 2),
        "Div": OpInfo(OpClass.ARITHMETIC, 2),
        "AveragePool": OpInfo(OpClass.ARITHMETIC),
        "GlobalAveragePool": OpInfo(OpClass.ARITHMETIC),
        "ReduceMean": OpInfo(OpClass.ARITHMETIC),
        "ReduceSum": OpInfo(OpClass.ARITHMETIC),
        "Cast": OpInfo(OpClass.SOURCE, 0),
        "Where": OpInfo(OpClass.MASK),
        "Softmax": OpInfo(OpClass.METHOD),
        "LayerNormalization": OpInfo(OpClass.METHOD),
        "RMSNormalization": OpInfo(OpClass.METHOD),
        "Relu": OpInfo(OpClass.CLAMP),
        "Clip": OpInfo(OpClass.CLAMP),
        "Concat": OpInfo(OpClass.MOVE, None),
    }
    unary = (
        "Sigmoid", "Tanh", "LeakyRelu", "Elu", "HardSigmoid", "HardSwish", "Gelu", "Softplus", "Selu",
        "Swish", "Neg",
    )  # fmt: skip
    table.update(dict.fromkeys(unary, OpInfo(OpClass.UNARY)))
    movers = (
        "Transpose", "Pad", "MaxPool", "GlobalMaxPool", "Expand", "DepthToSpace", "SpaceToDepth", "Resize",
    )  # fmt: skip
    table.update(dict.fromkeys(movers, OpInfo(OpClass.MOVE)))
    table.update(dict.fromkeys(("Slice", "Gather"), OpInfo(OpClass.MOVE, selects=True)))
    views = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
    table.update(dict.fromkeys(views, OpInfo(OpClass.MOVE, view=True)))
    return table


_OPS = _table()
_FLOAT = OpInfo(OpClass.FLOAT)
DEFAULT_DOMAINS = ("", "ai.onnx")


def op_info(op: str, domain: str | None = "") -> OpInfo:
    """Return the facts about an operator; anything unknown or of another domain stays float."""
    return _OPS.get(op, _FLOAT) if (domain or "") in DEFAULT_DOMAINS else _FLOAT
