"""Checks of a model that no pass should have to make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import ModelError

if TYPE_CHECKING:
    from passes.ir.model import Model


def verify_model(model: Model) -> None:
    """Refuse a model whose constants are not finite.

    Raises:
        ModelError: naming the tensor and the node that reads it.
    """
    for tensor in model.graph.tensors().values():
        if isinstance(tensor, gs.Constant) and tensor.dtype in (np.float32, np.float64, np.float16):
            if np.isfinite(tensor.values).all() or _means_infinity(tensor):
                continue
            reader = tensor.outputs[0].name if tensor.outputs else "nothing"
            raise ModelError(
                f"{model.path}: weight {tensor.name!r}, read by {reader}, holds NaN or infinity; "
                "repair or re-export the model"
            )


def _means_infinity(tensor: gs.Constant) -> bool:
    """A scalar infinity is a bound or a mask, as in attention, and not damage; so is -inf among zeros."""
    hidden = np.isneginf(tensor.values) | (tensor.values == 0)
    return bool(hidden.all() or (tensor.values.size == 1 and np.isinf(tensor.values).all()))
