"""`Extent`: the size of an axis that is known by name only, and products of such sizes.

As text it is a dimension such as ``4*batch``, the convention of ONNX Runtime's symbolic shape inference.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """A positive factor times the sizes of some symbolic axes, such as ``4 * batch``.

    Attributes:
        factor: what is known of it.
        names: of the symbolic axes, sorted; one that counts twice is there twice.
    """

    factor: int
    names: tuple[str, ...]

    @classmethod
    def parse(cls, dim: str) -> Extent:
        """Read a symbolic dimension: a name, or a factor and names, such as ``4*batch``."""
        first, *rest = dim.split("*")
        if rest and first.isascii() and first.isdigit() and int(first) > 0:
            return cls(int(first), tuple(sorted(rest)))
        return cls(1, (dim,))

    def __str__(self) -> str:
        """Return the dimension as text, in the form that `parse` reads."""
        return "*".join([*([str(self.factor)] if self.factor != 1 else []), *self.names])

    def __mul__(self, other: Extent | int) -> Extent | int:
        """Return the product; 0 with 0."""
        factor, names = _parts(other)
        return simplified(self.factor * factor, (*self.names, *names))

    __rmul__ = __mul__

    def __floordiv__(self, other: Extent | int) -> Extent | int:
        """Return the quotient.

        Raises:
            ValueError: the division is not exact, whatever the sizes are.
        """
        factor, names = _parts(other)
        left = Counter(self.names)
        left.subtract(names)
        if factor <= 0 or self.factor % factor or min(left.values(), default=0) < 0:
            raise ValueError(f"{self} is not a multiple of {other}")
        return simplified(self.factor // factor, tuple(left.elements()))


def simplified(factor: int, names: tuple[str, ...]) -> Extent | int:
    """Return an `Extent`, or a plain integer where no axis is left."""
    return Extent(factor, tuple(sorted(names))) if names and factor else factor


def _parts(value: Extent | int) -> tuple[int, tuple[str, ...]]:
    return (value.factor, value.names) if isinstance(value, Extent) else (int(value), ())
