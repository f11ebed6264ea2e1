"""Tensors stored beside the .onnx file: followed inside its folder only, and never trusted."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from onnx import TensorProto, helper

from passes.errors import ModelError
from passes.ir.nested import graphs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx


LEAST = 1 << 16
"""Bytes from which on a constant is mapped."""
_MAPPED = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
MAX_BYTES = 2**31
"""Of a model in memory: ONNX Runtime takes no more at a time."""


def tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a graph: initializers, attribute tensors, and those of nested graphs."""
    for part in graphs_of(graph):
        yield from part.initializer
        for sparse in part.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for attribute in (it for node in part.node for it in node.attribute):
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def load_external_data(proto: onnx.ModelProto, model_path: Path, *, mapped: bool = False) -> None:
    """Replace every external tensor by its bytes.

    Args:
        proto: the model; edited in place.
        model_path: the .onnx file; its folder is the only place that is read.
        mapped: large constants of the graph stay outside, and name their file by its whole path
            (`passes.ir.mapped`).

    Raises:
        ModelError: data are missing, outside the model's folder, or shorter than promised, or more than 2 GB.
    """
    tensors = enumerate(tensors_of(proto.graph))
    external = [(at, tensor) for at, tensor in tensors if tensor.data_location == tensor.EXTERNAL]
    places = [locate(tensor, model_path) for _, tensor in external]
    # Constants of the graph come first.
    first = len(proto.graph.initializer) if mapped else 0
    stays = [at < first and _maps(it, place) for (at, it), place in zip(external, places, strict=True)]
    total = sum(length for (_, _, length), stay in zip(places, stays, strict=True) if not stay)
    if total + proto.ByteSize() >= MAX_BYTES:
        raise ModelError(
            f"{model_path}: expected at most {MAX_BYTES} bytes with external data, found {total}; "
            "of larger models, qtool weights quantizes the weights, and qtool quantize --segment-size all"
        )
    for (_, tensor), place, stay in zip(external, places, stays, strict=True):
        refer(tensor, *place) if stay else _embed(tensor, place)


def load_nested(graph: onnx.GraphProto, model_path: Path) -> None:
    """Replace external tensors by their bytes, but for the constants of the graph itself.

    Raises:
        ModelError: data are missing, outside the model's folder, or shorter than promised.
    """
    for tensor in islice(tensors_of(graph), len(graph.initializer), None):
        if tensor.data_location == tensor.EXTERNAL:
            _embed(tensor, locate(tensor, model_path))


def locate(tensor: onnx.TensorProto, model_path: Path) -> tuple[Path, int, int]:
    """Return the file, the offset and the number of bytes of an external tensor.

    Raises:
        ModelError: data are missing, outside the model's folder, or shorter than promised.
    """
    folder = model_path.resolve().parent
    entries = entries_of(tensor)
    where = f"{model_path}: tensor {tensor.name!r}"
    location = entries.get("location", "")
    path = (folder / location).resolve()
    if not location or Path(location).is_absolute() or not path.is_relative_to(folder):
        raise ModelError(f"{where}: external data at {location!r} lies outside the model's folder; refused")
    if not path.is_file():
        raise ModelError(f"{where}: external data file {location!r} is missing; expected it beside the model")
    return path, *_span(entries, path.stat().st_size, where)


def refer(tensor: onnx.TensorProto, file: Path, offset: int, size: int) -> None:
    """Let a tensor stand for bytes of a file."""
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in {"location": file, "offset": offset, "length": size}.items():
        tensor.external_data.add(key=key, value=str(value))


def entries_of(tensor: onnx.TensorProto) -> dict[str, str]:
    """Return where an external tensor says that its bytes are."""
    return {entry.key: entry.value for entry in tensor.external_data}


def _maps(tensor: onnx.TensorProto, place: tuple[Path, int, int]) -> bool:
    """Tell whether a constant is one to map: large, of floats, and aligned."""
    if tensor.data_type not in _MAPPED:
        return False
    _, offset, size = place
    return size >= LEAST and offset % helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize == 0


def _embed(tensor: onnx.TensorProto, place: tuple[Path, int, int]) -> None:
    path, offset, length = place
    with path.open("rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = tensor.DEFAULT
    del tensor.external_data[:]


def _span(entries: dict[str, str], size: int, where: str) -> tuple[int, int]:
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(size - offset)))
    except ValueError as error:
        raise ModelError(
            f"{where}: offset and length of external data must be integers, found {entries}"
        ) from error
    if offset < 0 or length < 0 or offset + length > size:
        raise ModelError(
            f"{where}: external data need bytes {offset}..{offset + length}, but the file has {size}"
        )
    return offset, length
