"""Integer formats: how many bits a code has, and which numbers it can stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from passes.errors import UsageError

SUPPORTED_BITS = (1, 2, 3, 4, 5, 6, 7, 8, 16)
"""Every bit width a code may have."""

_CONTAINERS = (2, 4, 8, 16)
_NAME = re.compile(r"(u?)int([0-9]{1,2})(n?)")


@dataclass(frozen=True, slots=True, order=True)
class IntFormat:
    """A two's complement or unsigned integer of 1..8 or 16 bits; ordered by bits first.

    Attributes:
        bits: bits of one code.
        signed: whether codes below zero exist.
        narrow_range: leave out the lowest code, so that the signed range is symmetric about zero.

    Raises:
        UsageError: the width is not supported, or ``narrow_range`` would leave fewer than two codes or is
            asked of an unsigned format.
    """

    bits: int
    signed: bool = True
    narrow_range: bool = False

    def __post_init__(self) -> None:
        """Refuse the combinations that no code can have."""
        if self.bits not in SUPPORTED_BITS:
            raise UsageError(
                f"format: bits must be one of {SUPPORTED_BITS}, found {self.bits!r}; take the next wider"
            )
        if self.narrow_range and (not self.signed or self.bits < 2):
            sign = "signed" if self.signed else "unsigned"
            raise UsageError(
                f"format: narrow_range needs a signed format of 2 bits or more, found {sign} {self.bits}"
            )

    @property
    def qmin(self) -> int:
        """Lowest code."""
        return -(1 << (self.bits - 1)) + self.narrow_range if self.signed else 0

    @property
    def qmax(self) -> int:
        """Highest code."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def levels(self) -> int:
        """Number of codes."""
        return self.qmax - self.qmin + 1

    @property
    def dtype(self) -> np.dtype[np.signedinteger | np.unsignedinteger]:
        """Smallest numpy integer that holds every code."""
        wide = 8 if self.bits <= 8 else 16
        return np.dtype(f"{'int' if self.signed else 'uint'}{wide}")

    @property
    def container_bits(self) -> int:
        """Bits of the narrowest ONNX integer type that holds a code: 2, 4, 8 or 16."""
        return next(size for size in _CONTAINERS if size >= self.bits)

    def __str__(self) -> str:
        """Spell the format as the command line does: ``int4``, ``uint8``, ``int4n`` for a narrow range."""
        return f"{'int' if self.signed else 'uint'}{self.bits}{'n' if self.narrow_range else ''}"

    @classmethod
    def parse(cls, text: str) -> IntFormat:
        """Read what `__str__` writes.

        Raises:
            UsageError: the text is not the name of a format.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise UsageError(
                f"format {text!r} is unknown; expected int or uint and a bit width, such as int4 or uint8"
            )
        unsigned, bits, narrow = match.groups()
        return cls(int(bits), signed=not unsigned, narrow_range=bool(narrow))
