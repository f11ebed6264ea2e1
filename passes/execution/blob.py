"""Pictures of one size, encoded and stored one behind the other in an array: ``blob`` and ``offsets``."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from passes.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

BLOB, OFFSETS = "blob", "offsets"
"""Names of the arrays: bytes, and where each picture begins, with the end of the last one behind."""
MAX_BYTES = 1 << 32
"""Decoded pictures that are held in memory."""


def has_blob(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether arrays hold encoded pictures and nothing else."""
    return set(arrays) == {BLOB, OFFSETS}


def decoded(arrays: Mapping[str, NDArray[Any]], where: str) -> NDArray[np.uint8]:
    """Return the pictures as bytes, shape (N, H, W, 3).

    Args:
        arrays: ``blob``, uint8, and ``offsets``, integers; picture i is bytes ``offsets[i]:offsets[i + 1]``.
        where: the file, for messages.

    Raises:
        DataError: offsets that point elsewhere, something that is no picture, or pictures of different sizes.
    """
    blob, offsets = arrays[BLOB], arrays[OFFSETS]
    sound = blob.dtype == np.uint8 and blob.ndim == offsets.ndim == 1 and offsets.dtype.kind in "iu"
    if not sound or len(offsets) < 2 or (offsets[1:] < offsets[:-1]).any() or offsets[0] < 0:
        raise DataError(f"{where}: expected bytes in {BLOB} and rising integers in {OFFSETS}")
    if offsets[-1] > len(blob):
        raise DataError(f"{where}: the last picture ends at byte {offsets[-1]} of {len(blob)}")
    first = _picture(blob, offsets, 0, where)
    count = len(offsets) - 1
    if count * first.size > MAX_BYTES:
        raise DataError(f"{where}: {count} pictures of {first.shape[:2]} do not fit into memory; give fewer")
    found = np.empty((count, *first.shape), dtype=np.uint8)
    for index in range(count):
        picture = _picture(blob, offsets, index, where)
        if picture.shape != first.shape:
            raise DataError(
                f"{where}: picture {index} has {picture.shape[:2]} pixels, the first one {first.shape[:2]}"
            )
        found[index] = picture
    return found


def _picture(blob: NDArray[np.uint8], offsets: NDArray[Any], index: int, where: str) -> NDArray[np.uint8]:
    try:
        with Image.open(BytesIO(blob[offsets[index] : offsets[index + 1]].tobytes())) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: picture {index} cannot be decoded: {error}") from error
