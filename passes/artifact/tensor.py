"""`TensorInfo`: what a program needs to know about one tensor that is computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import ArtifactError
from passes.numerics import IntFormat

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

TENSOR_BITS = (1, 2, 3, 4, 5, 6, 7, 8, 16)
INDEX_BITS = 32
"""Width of integers that are no codes: token ids, positions, lengths."""
MAX_RANK = 8
MAX_ELEMENTS = 1 << 31
_LEAST_SCALE = float(np.finfo(np.float32).tiny)
_MOST_SCALE = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, shape and number format of one tensor: ``real = scale * (code - zero_point)``.

    Attributes:
        name: unique in its artifact.
        shape: as in ONNX; ``None`` stands for an extent known only at run time.
        bits: width of a code, 1 to 8 or 16; 32 for signed integers that stand for themselves, with scale 1
            and zero point 0; ``None`` for a float32 tensor, whose other fields mean nothing.
        signed: whether codes are two's complement.
        scale: a positive, normal number; kept as the nearest float32.
        zero_point: the code that stands for 0.

    Raises:
        ArtifactError: on construction, when a field is out of its range.
    """

    name: str
    shape: tuple[int | None, ...]
    bits: int | None = None
    signed: bool = False
    scale: float = 1.0
    zero_point: int = 0

    def __post_init__(self) -> None:
        """Check every field against its range."""
        check_shape(self.name, self.shape)
        if self.bits is None:
            return
        if self.is_index:
            if (self.signed, self.scale, self.zero_point) != (True, 1.0, 0):
                raise ArtifactError(
                    f"tensor {self.name!r}: integers of 32 bits are signed and stand for themselves"
                )
            return
        if self.bits not in TENSOR_BITS:
            raise ArtifactError(f"tensor {self.name!r}: bits must be 1 to 8, 16 or 32, got {self.bits}")
        if not _LEAST_SCALE <= self.scale <= _MOST_SCALE:
            raise _bad_scale(f"tensor {self.name!r}", self.scale)
        object.__setattr__(self, "scale", float(np.float32(self.scale)))
        if not self.qmin <= self.zero_point <= self.qmax:
            raise ArtifactError(
                f"tensor {self.name!r}: zero point {self.zero_point} lies outside {self.qmin}..{self.qmax}"
            )

    @property
    def is_float(self) -> bool:
        """Whether the tensor holds float32 values and not codes."""
        return self.bits is None

    @property
    def is_index(self) -> bool:
        """Whether the tensor holds integers that stand for themselves."""
        return self.bits == INDEX_BITS

    @property
    def format(self) -> IntFormat:
        """Integer format of the codes; asking for that of another tensor raises `ArtifactError`."""
        if self.bits is None or self.is_index:
            raise ArtifactError(f"tensor {self.name!r} holds {self._kind}: it has no codes")
        return _format(self.bits, self.signed)

    @property
    def qmin(self) -> int:
        """Lowest code."""
        return -(1 << INDEX_BITS - 1) if self.is_index else self.format.qmin

    @property
    def qmax(self) -> int:
        """Highest code."""
        return (1 << INDEX_BITS - 1) - 1 if self.is_index else self.format.qmax

    @property
    def dtype(self) -> DTypeLike:
        """NumPy type that holds the values: float32, or the smallest integer for the codes."""
        if self.is_index:
            return np.int32
        return np.float32 if self.is_float else self.format.dtype

    @property
    def _kind(self) -> str:
        return "float32 values" if self.bits is None else "plain integers"

    @property
    def params(self) -> tuple[int | None, bool, float, int]:
        """Everything but name and shape: two tensors with equal `params` share their codes."""
        return self.bits, self.signed, self.scale, self.zero_point

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape fits."""
        if len(shape) != len(self.shape):
            return False
        return all(want is None or want == got for want, got in zip(self.shape, shape, strict=True))


def check_shape(name: str, shape: tuple[int | None, ...]) -> None:
    """Raise `ArtifactError` unless rank, extents and number of elements are sane."""
    known = [extent for extent in shape if extent is not None]
    if len(shape) > MAX_RANK or any(extent < 0 for extent in known):
        raise ArtifactError(
            f"tensor {name!r}: shape {shape} has a negative extent or more than {MAX_RANK} axes"
        )
    elements = 1
    for extent in known:
        elements *= extent
    if elements > MAX_ELEMENTS or max(known, default=0) > MAX_ELEMENTS:
        raise ArtifactError(f"tensor {name!r}: shape {shape} has more than {MAX_ELEMENTS} elements")


def check_scales(where: str, scale: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> None:
    """Raise `ArtifactError` unless every scale is a positive, finite and normal float32 value."""
    sane = (scale >= _LEAST_SCALE) & (scale <= _MOST_SCALE)
    if not sane.all():
        raise _bad_scale(where, scale[~sane][0])


def _bad_scale(where: str, found: float) -> ArtifactError:
    return ArtifactError(f"{where}: a scale must be a positive finite float32, got {found}")


@cache
def _format(bits: int, signed: bool) -> IntFormat:
    """Return the format; programs ask for the same few all the time."""
    return IntFormat(bits, signed)
