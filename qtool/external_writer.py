"""`ExternalWriter`: constants of a model, one after the other, into the file beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import onnx
from onnx import TensorProto, helper

from passes.ir.mapped import outside_values
from passes.ir.onnx_io import write_proto
from passes.ir.stored_tensor import StoredTensor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from passes.lowering.nbits import Blocks

SMALL = 1024
"""Bytes up to which a constant stays in the model's file, where shape inference finds it."""
ALIGNMENT = 4096
"""Of every tensor in the file, so that it can be mapped."""


def write_with_data(proto: onnx.ModelProto, path: Path) -> None:
    """Write a model with its constants beside it, in the file of its name with ``.data`` behind it.

    Args:
        proto: the model, whose external constants are mapped; it refers to that file afterwards.
        path: of the .onnx file.
    """
    constants = list(proto.graph.initializer)
    del proto.graph.initializer[:]
    with ExternalWriter(path.with_name(f"{path.name}.data")) as writer:
        for tensor in constants:
            if tensor.data_location == TensorProto.EXTERNAL:
                writer.add_array(outside_values(tensor), tensor.name, proto.graph)
            else:
                writer.copy(tensor, path, proto.graph)
    write_proto(proto, path)


class ExternalWriter:
    """Appends tensors to a file and describes them in a graph; a context manager that closes the file.

    Attributes:
        size: bytes of tensors so far, without the gaps between them.
    """

    def __init__(self, path: Path) -> None:
        """Begin a file."""
        self._file = path.open("wb")
        self._name = path.name
        self.size = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the file."""
        self._file.close()

    def copy(self, tensor: onnx.TensorProto, model: Path, graph: onnx.GraphProto) -> int:
        """Copy a constant as it is; return its bytes.

        Raises:
            ModelError: its data are missing, or outside the model's folder.
        """
        external = tensor.data_location == TensorProto.EXTERNAL
        if not external and tensor.ByteSize() <= SMALL:
            graph.initializer.append(tensor)
            return int(tensor.ByteSize())
        if not external and not tensor.HasField("raw_data"):
            graph.initializer.append(tensor)
            return int(tensor.ByteSize())
        stored = StoredTensor.of(tensor, model)
        target = graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        start = self._begin()
        for piece in stored.pieces():
            self._file.write(piece)
        self._refer(target, start, stored.size)
        return stored.size

    def add(self, blocks: Blocks, name: str, graph: onnx.GraphProto) -> None:
        """Write a weight in blocks, as ``NAME.blocks`` and ``NAME.scales``."""
        self.add_array(blocks.codes, f"{name}.blocks", graph)
        self.add_array(blocks.scale, f"{name}.scales", graph)

    def add_array(self, array: NDArray[np.generic], name: str, graph: onnx.GraphProto) -> None:
        """Write an array as a constant of this name."""
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        target = graph.initializer.add(name=name, data_type=kind, dims=array.shape)
        start = self._begin()
        self._file.write(np.ascontiguousarray(array).data)
        self._refer(target, start, array.nbytes)

    def _begin(self) -> int:
        gap = -self._file.tell() % ALIGNMENT
        self._file.write(b"\0" * gap)
        return self._file.tell()

    def _refer(self, tensor: onnx.TensorProto, start: int, size: int) -> None:
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": self._name, "offset": start, "length": size}.items():
            tensor.external_data.add(key=key, value=str(value))
        self.size += size
