"""What is counted and at which precision: `Metric`, `Precision`, `Cost` and `NetworkCost`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from hwmodels.errors import HardwareError

MAX_BITS = 32
"""The widest operand that any machine may support, in bits."""


class Metric(StrEnum):
    """A quantity that a machine may estimate; the value is the field of `Cost` and ends with the unit."""

    LATENCY = "latency_s"
    ENERGY = "energy_j"
    WEIGHT_BYTES = "weight_bytes"
    PEAK_MEMORY = "peak_memory_bytes"
    BOPS = "bops"


@dataclass(frozen=True, slots=True, order=True)
class Precision:
    """Bits of the two operands of a layer; ordered by weight bits, then by activation bits.

    Raises:
        HardwareError: a side is not an integer from 1 to `MAX_BITS`.
    """

    weight_bits: int
    act_bits: int

    def __post_init__(self) -> None:
        """Check both sides."""
        for side, bits in (("weight_bits", self.weight_bits), ("act_bits", self.act_bits)):
            if type(bits) is not int or not 1 <= bits <= MAX_BITS:
                raise HardwareError(
                    f"precision: {side} must be an integer from 1 to {MAX_BITS}, found {bits!r}"
                )

    def __str__(self) -> str:
        """Print the pair as `parse` reads it."""
        return f"w{self.weight_bits}a{self.act_bits}"

    @classmethod
    def parse(cls, text: str) -> Precision:
        """Read a pair such as ``"w4a8"``: four bits of weights, eight of activations; ``"float"`` is `FLOAT`.

        Raises:
            HardwareError: the text has another form, or a side is out of range.
        """
        if text == "float":
            return FLOAT
        match = re.fullmatch(r"w([0-9]{1,2})a([0-9]{1,2})", text)
        if match is None:
            raise HardwareError(f"precision: expected a pair such as 'w4a8', found {text[:40]!r}")
        return cls(int(match[1]), int(match[2]))

    def covers(self, other: Precision) -> bool:
        """Tell whether both sides are at least as wide as those of ``other``."""
        return self.weight_bits >= other.weight_bits and self.act_bits >= other.act_bits


FLOAT = Precision(MAX_BITS, MAX_BITS)
"""Both operands in single precision: no integers of 32 bits are multiplied anywhere here. Fewer bits of
weights beside 32 of activations are weights that are stored narrow and multiplied as floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a layer or a network costs on one machine; ``None`` means that the machine does not estimate it.

    Attributes:
        latency_s: time, in seconds.
        energy_j: energy, in joules.
        weight_bytes: storage of the weights at their own width, in bytes; biases are not counted.
        bops: bit operations, MACs times weight bits times activation bits.
        peak_memory_bytes: activations alive at once, in bytes.
        cycles: clock cycles, where the machine has a clock.
        compute_s: seconds that the arithmetic alone would take, where arithmetic and memory overlap: a layer
            takes as long as the slower of the two. ``None`` for a network.
        memory_s: seconds that moving its operands alone would take, likewise.
        traffic_bytes: bytes that it moves across the memory interface, likewise.
        on_chip_j: the part of the energy that goes into buffers on the chip, in joules, where a machine tells
            arithmetic from memory. ``None`` for a network.
        off_chip_j: the part that goes into the memory interface, likewise; what is left is arithmetic.
        priced_as: the supported pair that the precision asked for was rounded up to; ``None`` for a network.

    Raises:
        HardwareError: a quantity is negative or not finite.
    """

    latency_s: float | None = None
    energy_j: float | None = None
    weight_bytes: float | None = None
    bops: float | None = None
    peak_memory_bytes: float | None = None
    cycles: float | None = None
    compute_s: float | None = None
    memory_s: float | None = None
    traffic_bytes: float | None = None
    on_chip_j: float | None = None
    off_chip_j: float | None = None
    priced_as: Precision | None = None

    def __post_init__(self) -> None:
        """Check every quantity."""
        parts = ("compute_s", "memory_s", "traffic_bytes", "on_chip_j", "off_chip_j")
        for name in (*Metric, "cycles", *parts):
            value: float | None = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise HardwareError(f"cost: {name} must be finite and not negative, found {value!r}")

    def get(self, metric: Metric) -> float | None:
        """Return one quantity in the unit that its metric names, or ``None`` where there is no estimate."""
        value: float | None = getattr(self, metric.value)
        return value


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """The cost of a whole network, of its layers and of what stands between them, in the order given."""

    total: Cost
    layers: tuple[Cost, ...]
    elementwise: tuple[Cost, ...] = ()
