"""Affine quantization, with the float32 arithmetic of ONNX QuantizeLinear and DequantizeLinear (opset 21).

``q = saturate(round(x / scale) + zero_point)`` and ``x = (q - zero_point) * scale``. NaN becomes the lowest
code; infinities saturate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.numerics.rounding import round_float

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.numerics.qparams import QuantParams, QuantSpec


def quantize(x: NDArray[Any], spec: QuantSpec, params: QuantParams) -> NDArray[Any]:
    """Return the codes of ``x``, of its shape and of ``spec.format.dtype``.

    Raises:
        UsageError: ``params`` do not have the shape that ``spec.granularity`` gives for ``x``.
    """
    steps = _steps(x, spec, params)
    steps += spec.granularity.expand(params.zero_point, x.shape).astype(np.float32)
    return steps.astype(spec.format.dtype)


def dequantize(q: NDArray[Any], spec: QuantSpec, params: QuantParams) -> NDArray[np.float32]:
    """Return the float32 values that the codes ``q`` stand for.

    Raises:
        UsageError: ``params`` do not have the shape that ``spec.granularity`` gives for ``q``.
    """
    steps = q.astype(np.int32) - spec.granularity.expand(params.zero_point, q.shape)
    return np.asarray(steps.astype(np.float32) * _expand_scale(q, spec, params))


def fake_quantize(x: NDArray[Any], spec: QuantSpec, params: QuantParams) -> NDArray[np.float32]:
    """Return ``dequantize(quantize(x))``, bit for bit, without the integers in between.

    Raises:
        UsageError: ``params`` do not have the shape that ``spec.granularity`` gives for ``x``.
    """
    steps = _steps(x, spec, params)
    # Integers have one zero: -0.0 + 0.0 is 0.0.
    steps += np.float32(0.0)
    steps *= _expand_scale(x, spec, params)
    return steps


def _steps(x: NDArray[Any], spec: QuantSpec, params: QuantParams) -> NDArray[np.float32]:
    """Return ``q - zero_point``, saturated, as float32; exact, as it has 17 bits at most."""
    zero_point = spec.granularity.expand(params.zero_point, x.shape)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        ratio = np.asarray(x, dtype=np.float32) / _expand_scale(x, spec, params)
    steps = np.asarray(round_float(ratio, spec.rounding))
    # fmax, unlike maximum and clip, prefers a number to NaN.
    np.fmax(steps, (spec.format.qmin - zero_point).astype(np.float32), out=steps)
    np.fmin(steps, (spec.format.qmax - zero_point).astype(np.float32), out=steps)
    return steps


def _expand_scale(x: NDArray[Any], spec: QuantSpec, params: QuantParams) -> NDArray[np.float32]:
    """Return the scales ready to broadcast against ``x``."""
    return spec.granularity.expand(params.scale, x.shape)
