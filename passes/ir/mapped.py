"""Constants that stay in files: arrays mapped into memory, and what stands for them in a protobuf.

In memory, a tensor outside its protobuf names its file by the whole path: one that `load_external_data` has
checked, or one that `Mapped` wrote. ONNX Runtime never follows such paths, sessions are given the arrays.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import onnx_graphsurgeon as gs
from onnx import TensorProto, helper
from onnx_graphsurgeon.ir.tensor import LazyValues

from passes.ir.external import LEAST, entries_of, refer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FLOATS = (np.float16, np.float32, np.float64)


class Mapped:
    """The files of one model's constants; a context manager that removes those that it wrote."""

    def __init__(self) -> None:
        """Begin without any."""
        self._known: dict[int, tuple[NDArray[Any], TensorProto]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forget all arrays, and remove the files of those that had been changed."""
        self._known.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def adopt(self, graph: gs.Graph) -> None:
        """Give the constants of a graph that are outside their protobuf their values."""
        for tensor in _constants(graph):
            held = tensor._values
            if isinstance(held, LazyValues) and held.tensor.data_location == TensorProto.EXTERNAL:
                values = outside_values(held.tensor)
                self._known[id(values)] = values, held.tensor
                tensor.values, tensor.data_location = values, None

    @contextmanager
    def aside(self, graph: gs.Graph) -> Iterator[None]:
        """Let large constants of a graph refer to files for a while; new values are written to one."""
        kept: list[tuple[gs.Constant, NDArray[Any]]] = []
        try:
            for tensor in _constants(graph):
                values = tensor._values
                if isinstance(values, np.ndarray) and values.dtype in _FLOATS and values.nbytes >= LEAST:
                    values, stored = self._stored(values)
                    kept.append((tensor, values))
                    tensor.values = LazyValues(stored)
            yield
        finally:
            for tensor, values in kept:
                tensor.values = values

    def _stored(self, values: NDArray[Any]) -> tuple[NDArray[Any], TensorProto]:
        """Return what is known of an array, written to a file if nothing is, and a reference to its file."""
        known, tensor = self._known.get(id(values), (None, None))
        if known is None or tensor is None:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="qtool-")
            file = Path(self._folder.name) / f"{len(self._known)}.bin"
            np.ascontiguousarray(values).tofile(file)
            tensor = TensorProto(data_type=helper.np_dtype_to_tensor_dtype(values.dtype), dims=values.shape)
            refer(tensor, file, 0, values.nbytes)
            known = outside_values(tensor)
            self._known[id(known)] = known, tensor
        return known, TensorProto.FromString(tensor.SerializeToString())


def outside_values(tensor: TensorProto) -> NDArray[Any]:
    """Return the values of such a tensor, mapped into memory and read-only."""
    entries = entries_of(tensor)
    dtype, shape = helper.tensor_dtype_to_np_dtype(tensor.data_type), tuple(tensor.dims)
    mapped = np.memmap(entries["location"], dtype.newbyteorder("<"), "r", int(entries["offset"]), shape)
    return np.asarray(mapped)


def _constants(graph: gs.Graph) -> list[gs.Constant]:
    return [tensor for tensor in graph.tensors().values() if isinstance(tensor, gs.Constant)]
