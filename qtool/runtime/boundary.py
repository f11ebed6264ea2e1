"""Where a program meets the outside: float arrays become codes on entry, and codes become floats on exit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import DataError
from passes.numerics import PerTensor, QuantParams, QuantSpec, Rounding, quantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact import Artifact, TensorInfo
    from qtool.runtime.node import Array


def check_inputs(artifact: Artifact, inputs: Mapping[str, Array]) -> None:
    """Refuse inputs that the program cannot take.

    Raises:
        DataError: an input is missing, has another shape, holds NaN, or integers are not what they should be.
    """
    expected = set(artifact.inputs)
    if set(inputs) != expected:
        raise DataError(f"expected the inputs {sorted(expected)}, found {sorted(inputs)}")
    for name, array in inputs.items():
        info = artifact.tensors[name]
        if not info.accepts(array.shape):
            raise DataError(f"input {name!r}: expected shape {info.shape}, found {array.shape}")
        if array.dtype.kind not in "fiub" or _has_nan(array):
            raise DataError(f"input {name!r}: expected real numbers without NaN, found {array.dtype}")
        if info.is_index:
            _check_integers(name, array, info)


def _check_integers(name: str, array: Array, info: TensorInfo) -> None:
    if array.dtype.kind not in "iub":
        raise DataError(f"input {name!r}: expected integers, found {array.dtype}")
    least, most = int(array.min(initial=0)), int(array.max(initial=0))
    if least < info.qmin or most > info.qmax:
        raise DataError(f"input {name!r}: expected integers of 32 bits, found {least} to {most}")


def _has_nan(array: Array) -> bool:
    """Look for NaN by the minimum, which any NaN becomes, without an array in between."""
    if array.dtype.kind != "f":
        return False
    with np.errstate(invalid="ignore"):
        return bool(np.isnan(array.min(initial=0)))


def to_codes(x: Array, info: TensorInfo) -> Array:
    """Codes of an input, as ONNX QuantizeLinear (opset 21) computes them in float32."""
    if info.is_float or info.is_index:
        return x.astype(info.dtype)
    spec = QuantSpec(info.format, PerTensor(), symmetric=False, rounding=Rounding.HALF_EVEN)
    return quantize(
        x, spec, QuantParams(np.array(info.scale, np.float32), np.array(info.zero_point, np.int32))
    )


def to_floats(codes: Array, info: TensorInfo) -> NDArray[np.float32]:
    """Values of an output, as ONNX DequantizeLinear (opset 21) computes them in float32."""
    if info.is_float:
        return codes
    steps = codes.astype(np.int32) - info.zero_point
    return steps.astype(np.float32) * np.float32(info.scale)
