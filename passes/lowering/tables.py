"""Tables for functions of one value: the output code of every input code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import LoweringError
from passes.numerics import dequantize, quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-x))


def _hard_sigmoid(x: NDArray[np.float64], alpha: float, beta: float) -> NDArray[np.float64]:
    return np.clip(alpha * x + beta, 0.0, 1.0)


def _gelu(x: NDArray[np.float64], approximate: str) -> NDArray[np.float64]:
    if approximate == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875
# Defaults are those of the ONNX operators, opset 20.
_FUNCTIONS: dict[str, Callable[[NDArray[np.float64], Mapping[str, Any]], NDArray[np.float64]]] = {
    "Mul": lambda x, a: x * a["factor"],
    "Div": lambda x, a: x / a["factor"],
    "Sigmoid": lambda x, a: _sigmoid(x),
    "Tanh": lambda x, a: np.tanh(x),
    "LeakyRelu": lambda x, a: np.where(x < 0, a.get("alpha", 0.01) * x, x),
    "Elu": lambda x, a: np.where(x < 0, a.get("alpha", 1.0) * np.expm1(np.minimum(x, 0)), x),
    "HardSigmoid": lambda x, a: _hard_sigmoid(x, a.get("alpha", 0.2), a.get("beta", 0.5)),
    "HardSwish": lambda x, a: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "Gelu": lambda x, a: _gelu(x, a.get("approximate", "none")),
    "Swish": lambda x, a: x * _sigmoid(a.get("alpha", 1.0) * x),
    "Neg": lambda x, a: -x,
    "Softplus": lambda x, a: np.logaddexp(0.0, x),
    "Selu": lambda x, a: (
        a.get("gamma", _SELU_GAMMA)
        * np.where(x < 0, a.get("alpha", _SELU_ALPHA) * np.expm1(np.minimum(x, 0)), x)
    ),
}


def unary_table(
    op: str, attrs: Mapping[str, Any], source: TensorQuant, result: TensorQuant
) -> NDArray[np.int64]:
    """Return the output code for every input code, from the lowest upwards; shape (2**bits,).

    Args:
        op: ONNX operator.
        attrs: its attributes; for Mul and Div, ``factor`` is their constant.
        source: quantization of its input.
        result: quantization of its output.

    Raises:
        LoweringError: there is no such function here.
    """
    function = _FUNCTIONS.get(op)
    if function is None or source.params is None or result.params is None:
        raise LoweringError(f"{op} has no table")
    fmt = source.spec.format
    codes = np.arange(fmt.qmin, fmt.qmax + 1)
    values = dequantize(codes, source.spec, source.params).astype(np.float64)
    return quantize(function(values, attrs).astype(np.float32), result.spec, result.params).astype(np.int64)
