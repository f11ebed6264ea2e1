"""Work without products: additions, pooling, and conversions of activations between precisions."""

from __future__ import annotations

from dataclasses import dataclass

from hwmodels.errors import HardwareError

PICO = 1e-12
CONVERSION = "Requantize"
"""The operator of a conversion: the same elements at other bits."""


@dataclass(frozen=True, slots=True)
class Elementwise:
    """An operator whose time goes into reading and writing activations.

    Attributes:
        name: the node, or for a conversion the tensor, as messages call it.
        op: the ONNX operator, or `CONVERSION`.
        in_elements: activation elements read, over the whole batch.
        out_elements: activation elements written, over the whole batch.

    Raises:
        HardwareError: a count is not a positive integer.
    """

    name: str
    op: str
    in_elements: int
    out_elements: int

    def __post_init__(self) -> None:
        """Check both counts."""
        for count in (self.in_elements, self.out_elements):
            if type(count) is not int or count < 1:
                raise HardwareError(f"{self.op} {self.name!r}: elements must be at least 1, found {count!r}")

    @classmethod
    def conversion(cls, name: str, elements: int) -> Elementwise:
        """Describe a conversion of ``elements`` values; raises as the class does."""
        return cls(name, CONVERSION, elements, elements)


@dataclass(frozen=True, slots=True)
class ElementwiseStep:
    """An elementwise operator of a network at the bits of what it reads and writes."""

    work: Elementwise
    in_bits: int
    out_bits: int


@dataclass(frozen=True, slots=True)
class VectorUnit:
    """Table ``[elementwise]``: what operators without products and conversions cost.

    An operator in ``fused_ops`` happens on the way to memory, inside the operator before it: it takes no time
    of its own but for the bits that it adds to what is written. Any other reads its input and writes its
    output, at the speed of the unit or of memory, whichever is slower. Equal bits need no conversion.

    Attributes:
        elements_per_s: elements that the unit handles, in or out, whichever are more.
        memory_bytes_per_s: traffic of the memory that holds activations.
        element_pj: energy of one element in the unit.
        memory_pj_per_bit: energy of one bit read or written.
        overhead_s: time to start an operator that is not fused.
        fused_ops: operators that are fused, ``"Requantize"`` being a conversion; ``"*"`` for all.
        source: where this comes from.
    """

    elements_per_s: float
    memory_bytes_per_s: float
    source: str
    element_pj: float = 0.0
    memory_pj_per_bit: float = 0.0
    overhead_s: float = 0.0
    fused_ops: tuple[str, ...] = ()

    def price(self, work: Elementwise, in_bits: int, out_bits: int) -> tuple[float, float]:
        """Return seconds and joules."""
        if work.op == CONVERSION and in_bits == out_bits:
            return 0.0, 0.0
        if {work.op, "*"} & set(self.fused_ops):
            added = work.out_elements * max(out_bits - in_bits, 0)
            return added / 8 / self.memory_bytes_per_s, added * self.memory_pj_per_bit * PICO
        bits = work.in_elements * in_bits + work.out_elements * out_bits
        handled = max(work.in_elements, work.out_elements)
        seconds = max(handled / self.elements_per_s, bits / 8 / self.memory_bytes_per_s)
        picojoules = handled * self.element_pj + bits * self.memory_pj_per_bit
        return self.overhead_s + seconds, picojoules * PICO
