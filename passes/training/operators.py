"""Every operator that the bridge runs, and why it refuses the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.training import (
    ops_constant,
    ops_elementwise,
    ops_layers,
    ops_pool,
    ops_quantized,
    ops_recurrent,
    ops_reduce,
    ops_resize,
    ops_shape,
)
from passes.training.call import DEFAULT_DOMAINS, Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.training.call import Operator

OPERATORS: dict[str, Operator] = {
    **ops_constant.OPERATORS,
    **ops_elementwise.OPERATORS,
    **ops_layers.OPERATORS,
    **ops_pool.OPERATORS,
    **ops_quantized.OPERATORS,
    **ops_recurrent.OPERATORS,
    **ops_reduce.OPERATORS,
    **ops_resize.OPERATORS,
    **ops_shape.OPERATORS,
}
"""By name, of the default domain."""

_SETTINGS: dict[str, Callable[[Call], str]] = {
    "ArgMax": ops_reduce.refuse_arg_max,
    "AveragePool": ops_pool.refuse_average_pool,
    "BatchNormalization": ops_layers.refuse_batch_normalization,
    "Cast": ops_constant.refuse_cast,
    "ConvTranspose": ops_layers.refuse_transpose,
    "CumSum": ops_reduce.refuse_cumulative_sum,
    "DequantizeLinear": ops_quantized.refuse_quantized,
    "GRU": ops_recurrent.refuse_recurrent,
    "LSTM": ops_recurrent.refuse_recurrent,
    "MaxPool": ops_pool.refuse_max_pool,
    "QuantizeLinear": ops_quantized.refuse_quantized,
    "RNN": ops_recurrent.refuse_recurrent,
    "Resize": ops_resize.refuse_resize,
    "Upsample": ops_resize.refuse_resize,
}
_UNREAD = {
    "LSTM": {4: "sequence_lens", 7: "peepholes"},
    "GRU": {4: "sequence_lens"},
    "RNN": {4: "sequence_lens"},
}
"""Inputs that must be absent, by operator and position."""


def refusal(node: gs.Node, opset: int) -> str:
    """Say why the bridge cannot run a node, or return nothing."""
    if (node.domain or "") not in DEFAULT_DOMAINS:
        return f"operators of domain {node.domain} are not supported"
    if node.op not in OPERATORS:
        return "the operator is not supported"
    if any(not _plain(tensor) for tensor in (*node.inputs, *node.outputs)):
        return "it reads or writes something that is no tensor of numbers"
    for at, name in _UNREAD.get(node.op, {}).items():
        if len(node.inputs) > at and node.inputs[at].name:
            return f"the input {name} is not supported"
    rule = _SETTINGS.get(node.op)
    return rule(Call.of(node, opset)) if rule is not None else ""


def _plain(tensor: gs.Tensor) -> bool:
    dtype = tensor.dtype
    if dtype is None or not tensor.name:
        return True
    try:
        return np.dtype(dtype).kind in "fiub"
    except TypeError:
        return False
