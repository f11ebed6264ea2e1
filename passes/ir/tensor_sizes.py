"""Tensors that lie about their size are refused before anything reads them."""

from __future__ import annotations

from math import prod

import onnx
from onnx import helper

from passes.errors import ModelError
from passes.ir.external import entries_of, tensors_of


def check_tensors(graph: onnx.GraphProto, path: str, *, outside: bool = False) -> None:
    """Refuse tensors that lie about their size.

    Args:
        graph: its constants, attributes and nested graphs; external data have been read.
        path: where it came from, for messages.
        outside: tensors may refer to files, and are as long as they say.

    Raises:
        ModelError: the data of a tensor do not fill its shape, or its element type is unknown.
    """
    known = helper.get_all_tensor_dtypes()
    for tensor in tensors_of(graph):
        where = f"{path}: tensor {tensor.name!r} of shape {list(tensor.dims)}"
        if tensor.data_type not in known or min(tensor.dims, default=0) < 0:
            raise ModelError(
                f"{where}: expected sizes from 0 and a known element type, found {tensor.data_type}"
            )
        refers = outside and tensor.data_location == tensor.EXTERNAL
        raw = refers or tensor.HasField("raw_data")
        field = "raw_data" if raw else helper.tensor_dtype_to_field(tensor.data_type)
        found = int(entries_of(tensor)["length"]) if refers else len(getattr(tensor, field))
        expected = _tensor_size(tensor, raw)
        if expected != found:
            raise ModelError(f"{where} needs {expected} {'bytes' if raw else 'numbers'}, found {found}")


def _tensor_size(tensor: onnx.TensorProto, raw: bool) -> int:
    """Return how many bytes, or else how many numbers of its typed field, fill a tensor."""
    count = int(prod(tensor.dims))
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    bits = {"int4": 4, "uint4": 4, "float4_e2m1fn": 4, "int2": 2, "uint2": 2}.get(dtype.name)
    if bits:
        return (count * bits + 7) // 8
    return count * int(dtype.itemsize if raw else 1 + (dtype.kind == "c"))
