"""How the native kernels store activations: one byte each, the code less the lowest one of its format."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np

from passes.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact import TensorInfo
    from qtool.runtime.node import Array, Node

MAX_BITS = 8


def check_storable(node: Node) -> None:
    """Raise `ArtifactError` unless every input has codes of 8 bits or less, and the output too or float32."""
    for info in (*node.inputs, node.output):
        if info.bits is None and info is node.output:
            continue
        if info.bits is None or info.bits > MAX_BITS:
            _refuse(node, info)


def stored_zero(info: TensorInfo) -> int:
    """Return the stored form of the zero point, 0..255."""
    return info.zero_point - info.qmin


def stored_max(info: TensorInfo) -> int:
    """Return the stored form of the highest code, 1..255."""
    return info.qmax - info.qmin


def store(codes: Array, info: TensorInfo) -> NDArray[np.uint8]:
    """Return codes in stored form, C-contiguous."""
    return np.ascontiguousarray(codes.astype(np.int16) - info.qmin, dtype=np.uint8)


def restore(stored: Array, info: TensorInfo) -> Array:
    """Return stored codes as they are outside of the kernels; float32 values stay as they are."""
    if info.is_float:
        return stored
    return (stored.astype(np.int16) + info.qmin).astype(info.dtype)


def empty(node: Node, shape: tuple[int, ...]) -> Array:
    """Return memory for the output of a step: bytes, or float32 values."""
    node.check_size(shape)
    return np.empty(shape, np.float32 if node.output.is_float else np.uint8)


def _refuse(node: Node, info: TensorInfo) -> NoReturn:
    found = "float32" if info.bits is None else f"{info.bits} bits"
    raise ArtifactError(
        f"step {node.step.name!r} ({node.step.op}): the native kernels take codes of {MAX_BITS} bits or "
        f"less, found {found} in {info.name!r}; the reference engine runs it"
    )
