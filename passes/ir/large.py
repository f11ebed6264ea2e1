"""Models so large that their constants stay in their files."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from passes.ir.external import MAX_BYTES, locate, tensors_of
from passes.ir.mapped import Mapped
from passes.ir.onnx_io import read_proto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def mapped_if_large(path: Path) -> Iterator[Mapped | None]:
    """Yield what keeps the constants of a model in their files, where they do not fit into memory at once.

    Args:
        path: an .onnx file; for one that fits, ``None`` is yielded.

    Raises:
        ModelError: the file is damaged, or external data are missing.
    """
    if _bytes_of(path) < MAX_BYTES:
        yield None
        return
    with Mapped() as mapped:
        yield mapped


def _bytes_of(path: Path) -> int:
    proto, _ = read_proto(path)
    external = (it for it in tensors_of(proto.graph) if it.data_location == it.EXTERNAL)
    size: int = sum(locate(tensor, path)[2] for tensor in external) + proto.ByteSize()
    return size
