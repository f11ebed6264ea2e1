"""The safetensors container, restricted to what a .qpk needs: flat uint8 tensors without gaps between them.

Layout: 8 bytes little-endian length of the header, the JSON header padded with spaces, then the data. These
start on a line of 64 bytes, so tensors of whole lines keep that alignment when they are written first.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from passes.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LINE_BYTES = 64
MAX_HEADER_BYTES = 1 << 24
_METADATA = "__metadata__"


@dataclass(frozen=True, slots=True, eq=False)
class Container:
    """Metadata and tensors of one file; the tensors are views of the mapped file."""

    metadata: dict[str, str]
    tensors: dict[str, NDArray[np.uint8]]


def write_container(
    path: Path, metadata: Mapping[str, str], tensors: Mapping[str, NDArray[np.uint8]]
) -> None:
    """Write a file under a temporary name and rename it; the same arguments give the same bytes.

    Args:
        path: file to make or replace.
        metadata: goes into the header as it is.
        tensors: one-dimensional uint8 arrays, written in this order.

    Raises:
        OSError: when the file cannot be written; what was at `path` is then unharmed.
    """
    header = _header(metadata, tensors)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(len(header).to_bytes(8, "little"))
            file.write(header)
            for data in tensors.values():
                file.write(np.ascontiguousarray(data).data)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    temporary.chmod(0o644)
    temporary.replace(path)


def container_bytes(metadata: Mapping[str, str], tensors: Mapping[str, NDArray[np.uint8]]) -> bytes:
    """Return the bytes that `write_container` would write."""
    header = _header(metadata, tensors)
    parts = (len(header).to_bytes(8, "little"), header, *(data.tobytes() for data in tensors.values()))
    return b"".join(parts)


def _header(metadata: Mapping[str, str], tensors: Mapping[str, NDArray[np.uint8]]) -> bytes:
    entries: dict[str, Any] = {_METADATA: dict(metadata)}
    offset = 0
    for name, data in tensors.items():
        entries[name] = {"dtype": "U8", "shape": [data.size], "data_offsets": [offset, offset + data.size]}
        offset += data.size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-(8 + len(text)) % LINE_BYTES)


def read_container(path: Path) -> Container:
    """Map a file and check its header against its size.

    Raises:
        ArtifactError: when it cannot be read or is not such a file.
    """
    try:
        size = path.stat().st_size
        # As a plain array, of which views are cheap; it keeps the map open.
        data = np.asarray(np.memmap(path, np.uint8, "r")) if size > 8 else np.empty(0, np.uint8)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from error
    length = int.from_bytes(data[:8].tobytes(), "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, data.size - 8):
        raise ArtifactError(f"{path}: is no .qpk file: a header of {length} bytes in a file of {size} bytes")
    entries = parse_json(data[8 : 8 + length].tobytes(), f"{path}: header")
    metadata = entries.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ArtifactError(f"{path}: header: the metadata must be an object of strings")
    return Container(metadata, _slices(entries, data[8 + length :], path))


def _slices(entries: dict[str, Any], data: NDArray[np.uint8], path: Path) -> dict[str, NDArray[np.uint8]]:
    """Cut the data; tensors must follow each other without gap or overlap, as safetensors requires."""
    bounds = {name: _bounds(entry, f"{path}: tensor {name[:80]!r}") for name, entry in entries.items()}
    end = 0
    for name, (start, stop) in sorted(bounds.items(), key=lambda item: item[1]):
        if start != end:
            raise ArtifactError(f"{path}: tensor {name[:80]!r} starts at byte {start}, expected {end}")
        end = stop
    if end != data.size:
        raise ArtifactError(
            f"{path}: the header describes {end} bytes of data, found {data.size}: truncated?"
        )
    return {name: data[start:stop] for name, (start, stop) in bounds.items()}


def _bounds(entry: object, where: str) -> tuple[int, int]:
    match entry:
        case {"dtype": "U8", "shape": [int(size)], "data_offsets": [int(start), int(stop)], **rest} if (
            not rest
        ):
            if 0 <= start <= stop == start + size:
                return start, stop
    raise ArtifactError(
        f"{where}: expected a U8 vector whose offsets match its size, found {str(entry)[:200]}"
    )


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """Parse one JSON object strictly: UTF-8, no key twice, no NaN or infinity.

    Raises:
        ArtifactError: on anything else.
    """
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where}: is not valid JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key appears twice")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
