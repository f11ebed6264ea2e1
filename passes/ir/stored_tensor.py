"""`StoredTensor`: a constant that is read a piece at a time, from the model's file or from beside it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

from passes.errors import ModelError
from passes.ir.external import locate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

PIECE_BYTES = 16 << 20
"""Bytes that are in memory at a time."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """The bytes of a constant, wherever they are.

    Attributes:
        name: of the tensor, for messages.
        shape: as the model gives it.
        dtype: of its elements; of one byte where numpy has no such type.
        inside: the bytes, where they are in the model's file.
        file: that holds them, where they lie beside it.
        offset: of the first byte in that file.
        size: number of bytes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    inside: bytes
    file: Path | None
    offset: int
    size: int

    @classmethod
    def of(cls, tensor: onnx.TensorProto, model_path: Path) -> StoredTensor:
        """Find the bytes of a tensor whose data are raw.

        Raises:
            ModelError: an unknown element type, or external data missing or outside the model's folder.
        """
        if tensor.data_type not in helper.get_all_tensor_dtypes():
            raise ModelError(f"tensor {tensor.name!r}: unknown element type {tensor.data_type}")
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        if tensor.data_location == tensor.EXTERNAL:
            file, offset, size = locate(tensor, model_path)
            return cls(tensor.name, tuple(tensor.dims), dtype, b"", file, offset, size)
        inside = tensor.raw_data
        return cls(tensor.name, tuple(tensor.dims), dtype, inside, None, 0, len(inside))

    def check_size(self) -> None:
        """Refuse bytes that do not fill the shape.

        Raises:
            ModelError: they do not.
        """
        expected = prod(self.shape) * self.dtype.itemsize
        if self.size != expected:
            where = f"tensor {self.name!r} of shape {list(self.shape)}"
            raise ModelError(f"{where}: needs {expected} bytes, found {self.size}")

    def rows(self, count: int) -> Iterator[NDArray[Any]]:
        """Yield so many rows of a matrix at a time, the last time what is left.

        Raises:
            ModelError: the bytes do not fill the shape, or the file got shorter.
        """
        self.check_size()
        width = self.shape[1] * self.dtype.itemsize
        for piece in self.pieces(count * width):
            yield np.frombuffer(piece, self.dtype).reshape(-1, self.shape[1])

    def pieces(self, size: int = PIECE_BYTES) -> Iterator[bytes]:
        """Yield the bytes, `size` at a time.

        Raises:
            ModelError: the file got shorter.
        """
        if self.file is None:
            yield from (self.inside[start : start + size] for start in range(0, self.size, size))
            return
        with self.file.open("rb") as file:
            file.seek(self.offset)
            for start in range(0, self.size, size):
                wanted = min(size, self.size - start)
                piece = file.read(wanted)
                if len(piece) != wanted:
                    raise ModelError(f"tensor {self.name!r}: {self.file} ends before its data do")
                yield piece
