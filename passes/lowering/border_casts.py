"""Casts at the border of a network: half or double precision outside, single precision inside.

An artifact takes and gives real numbers of any precision, so that such a Cast (opset 6) does nothing in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs

_OTHERS = (np.float16, np.float64)


def cast_behind(tensor: gs.Variable) -> gs.Node | None:
    """Return the Cast to float32 that alone reads an input of another precision, or ``None``."""
    readers = tensor.outputs
    if tensor.dtype not in _OTHERS or len(readers) != 1 or readers[0].op != "Cast":
        return None
    return readers[0] if readers[0].outputs[0].dtype == np.float32 else None


def casts_output(node: gs.Node, outputs: list[gs.Variable]) -> bool:
    """Tell whether a node gives an output of the network its precision."""
    if node.op != "Cast" or node.inputs[0].dtype != np.float32:
        return False
    (result,) = node.outputs
    return result.dtype in _OTHERS and not result.outputs and any(result is output for output in outputs)
