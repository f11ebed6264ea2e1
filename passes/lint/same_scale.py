"""Whether two quantizers have the same scale and zero point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.lint.view import input_name

if TYPE_CHECKING:
    import onnx

    from passes.lint.view import View


def same_parameters(view: View, first: onnx.NodeProto, second: onnx.NodeProto) -> bool:
    """Tell whether scale and zero point are known to be the same; an absent zero point is zero."""
    return all(_same(view, input_name(first, index), input_name(second, index)) for index in (1, 2))


def _same(view: View, first: str, second: str) -> bool:
    if first == second:
        return True
    values = [view.values(name) if name else np.zeros(()) for name in (first, second)]
    if any(value is None for value in values):
        return False
    left, right = (np.asarray(value, dtype=np.float64) for value in values)
    return left.size == right.size and bool((left.reshape(-1) == right.reshape(-1)).all())
