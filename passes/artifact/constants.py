"""The pool of small integer vectors of an artifact: each bit-packed at the width that its values need.

A vector is described by ``{"offset", "count", "bits", "base"}``: `count` codes of `bits` bits, from byte
`offset` on, with ``value = base + code``. A vector of equal values needs no bits at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.artifact.fields import Fields
from passes.errors import ArtifactError
from passes.numerics import pack_bits, unpack_bits
from passes.numerics.scales import SPARE_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_COUNT = 1 << 22
MAX_VALUE = 1 << 61


class ConstantWriter:
    """Collects vectors; `data` is the pool so far."""

    def __init__(self) -> None:
        """Start an empty pool."""
        self._chunks: list[NDArray[np.uint8]] = []
        self._size = 0

    def add(self, values: NDArray[np.integer]) -> dict[str, int]:
        """Append a vector and return its description."""
        values = values.astype(np.int64)
        base = int(values.min()) if values.size else 0
        codes = values - base
        bits = int(codes.max()).bit_length() if values.size else 0
        reference = {"offset": self._size, "count": values.size, "bits": bits, "base": base}
        if bits:
            chunk = pack_bits(codes.astype(np.uint64), bits)
            self._chunks.append(chunk)
            self._size += chunk.size
        return reference

    def add_scales(self, scale: NDArray[np.float32]) -> dict[str, int]:
        """Append float32 values by their bit patterns, whose spare low bits are dropped if all are zero."""
        patterns = scale.view(np.uint32).astype(np.int64)
        shift = 0 if np.any(patterns & ((1 << SPARE_BITS) - 1)) else SPARE_BITS
        return {**self.add(patterns >> shift), "shift": shift}

    @property
    def data(self) -> NDArray[np.uint8]:
        """All vectors, one after the other."""
        return np.concatenate([np.empty(0, np.uint8), *self._chunks])


class ConstantReader:
    """Reads vectors out of a pool, in the order in which they were added.

    Every method raises `ArtifactError` for a description that does not fit. The vectors follow each other
    without gap or overlap, so what they take up in memory is bounded by the size of the file.
    """

    def __init__(self, data: NDArray[np.uint8]) -> None:
        """Read from this pool."""
        self._data = data
        self._position = 0

    def read(self, fields: Fields) -> NDArray[np.int64]:
        """Return the int64 vector that a description stands for."""
        count = fields.integer("count", 0, MAX_COUNT)
        bits = fields.integer("bits", 0, 62)
        base = fields.integer("base", -MAX_VALUE, MAX_VALUE)
        start = fields.integer("offset", self._position, self._position)
        fields.done()
        if bits == 0:
            return np.broadcast_to(np.int64(base), (count,))
        stop = start + (count * bits + 7) // 8
        if stop > self._data.size:
            raise ArtifactError(
                f"{fields.where}: bytes {start} to {stop} of {self._data.size} bytes of constants"
            )
        self._position = stop
        return unpack_bits(self._data[start:stop], bits, count).astype(np.int64) + base

    def read_scales(self, fields: Fields) -> NDArray[np.float32]:
        """Return the float32 vector that a description with ``shift`` stands for."""
        shift = fields.integer("shift", 0, SPARE_BITS)
        patterns = self.read(fields) << shift
        if np.any((patterns < 0) | (patterns >> 32 != 0)):
            raise ArtifactError(f"{fields.where}: a scale has more than 32 bits")
        return patterns.astype(np.uint32).view(np.float32)
