"""`Storage` and `Stored`: how a tensor lies in memory while native kernels work on it.

Codes of 8 bits or fewer are unsigned bytes, wider ones unsigned words of 16 bits: a signed code is kept less
the lowest code of its format. Plain integers and float32 values lie as they are. The channels of images may
come last, (batch, spatial ..., channel), while shapes are always told in ONNX order.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.native.codes import stored_type

if TYPE_CHECKING:
    from passes.artifact import TensorInfo
    from qtool.runtime.node import Array

BYTE_BITS = 8


@dataclass(frozen=True, slots=True)
class Storage:
    """Form of one tensor in memory.

    Attributes:
        info: its numbers.
        shape: in ONNX order.
        channels_last: whether axis 1 comes last in memory.
    """

    info: TensorInfo
    shape: tuple[int, ...]
    channels_last: bool = False

    @property
    def is_bytes(self) -> bool:
        """Whether the tensor holds codes of 8 bits or fewer."""
        return holds_bytes(self.info)

    @property
    def offset(self) -> int:
        """What is added to a code before it is stored."""
        return 0 if self.info.is_float or self.info.is_index else -self.info.qmin

    @property
    def zero(self) -> int:
        """The zero point as it is stored."""
        return self.info.zero_point + self.offset

    @property
    def order(self) -> tuple[int, ...]:
        """ONNX axis of every axis in memory."""
        axes = tuple(range(len(self.shape)))
        return (0, *axes[2:], 1) if self.channels_last else axes

    @property
    def extents(self) -> tuple[int, ...]:
        """Shape in memory."""
        return tuple(self.shape[axis] for axis in self.order)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type in memory."""
        return stored_type(self.info)

    @property
    def size_bytes(self) -> int:
        """Bytes in memory."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def in_order(self) -> bool:
        """Whether the values lie in ONNX order."""
        return not self.channels_last or self.shape[1] == 1 or prod(self.shape[2:]) == 1

    def at(self, memory: Array) -> Stored:
        """Lay the tensor into the bytes of `memory`, of which it takes the first ones."""
        view = memory[: self.size_bytes].view(self.dtype).reshape(self.extents)
        return Stored(self, view)


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A tensor in memory.

    Attributes:
        storage: its form.
        memory: contiguous, of the extents of `storage`.
    """

    storage: Storage
    memory: Array

    @property
    def logical(self) -> Array:
        """What is stored, in ONNX order; a view."""
        return self.memory.transpose(np.argsort(self.storage.order))

    def codes(self) -> Array:
        """Codes in their container, or float32 values, in ONNX order; may be a view."""
        if not self.storage.offset:
            return self.logical
        moved = self.logical - self.storage.dtype.type(self.storage.offset)
        return np.asarray(moved.view(self.storage.info.dtype))

    def write(self, codes: Array) -> None:
        """Store codes, or float32 values, of the same shape."""
        if self.storage.offset:
            stored = self.storage.dtype
            codes = codes.view(stored) + stored.type(self.storage.offset)
        self.logical[...] = codes


def holds_bytes(info: TensorInfo) -> bool:
    """Whether a tensor holds codes of 8 bits or fewer, as native kernels need them."""
    return info.bits is not None and info.bits <= BYTE_BITS
