"""How the native kernels store activations: codes less the lowest one, in one byte or in two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from passes.errors import ArtifactError

if TYPE_CHECKING:
    from passes.artifact import TensorInfo
    from qtool.runtime.node import Array, Node

MAX_BITS = 8
MAX_WIDE_BITS = 16


def check_storable(node: Node, most: int = MAX_BITS, most_out: int = MAX_BITS) -> None:
    """Raise `ArtifactError` unless codes have `most` bits or less; an output `most_out`, or none."""
    for info in node.inputs:
        if info.bits is None or info.bits > most:
            _refuse(node, info, most)
    if info_bits(node.output) > most_out:
        _refuse(node, node.output, most_out)


def info_bits(info: TensorInfo) -> int:
    """Return the bits of a code; 0 of float32."""
    return info.bits or 0


def code_bytes(info: TensorInfo) -> int:
    """Return the bytes of a stored code; 1 where there are none."""
    return 1 if info_bits(info) <= MAX_BITS else 2


def stored_zero(info: TensorInfo) -> int:
    """Return the stored form of the zero point, 0..65535."""
    return info.zero_point - info.qmin


def stored_max(info: TensorInfo) -> int:
    """Return the stored form of the highest code, 1..65535."""
    return info.qmax - info.qmin


def store(codes: Array, info: TensorInfo) -> Array:
    """Return codes in stored form, C-contiguous."""
    return np.ascontiguousarray(codes.astype(np.int32) - info.qmin, dtype=stored_type(info))


def restore(stored: Array, info: TensorInfo) -> Array:
    """Return stored codes as they are outside of the kernels; float32 values stay as they are."""
    if info.is_float:
        return stored
    return (stored.astype(np.int32) + info.qmin).astype(info.dtype)


def empty(node: Node, shape: tuple[int, ...]) -> Array:
    """Return memory for the output of a step: stored codes, or float32 values."""
    node.check_size(shape)
    return np.empty(shape, stored_type(node.output))


def stored_type(info: TensorInfo) -> np.dtype[Any]:
    """Return the type of a tensor in memory."""
    if info.is_float or info.is_index:
        return np.dtype(info.dtype)
    return np.dtype(np.uint8 if code_bytes(info) == 1 else np.uint16)


def _refuse(node: Node, info: TensorInfo, most: int) -> NoReturn:
    found = "float32" if info.bits is None else f"{info.bits} bits"
    raise ArtifactError(
        f"step {node.step.name!r} ({node.step.op}): the native kernels take codes of {most} bits or "
        f"less, found {found} in {info.name!r}; the reference engine runs it"
    )
