"""The tables that machine files of every architecture share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

from hwmodels.errors import SpecError
from hwmodels.types import MAX_BITS, Precision

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec

ROUNDINGS = ("half_even", "half_up", "half_away", "floor")


@dataclass(frozen=True)
class Arithmetic:
    """What the machine computes with.

    Attributes:
        weight_bits: supported widths of weights, rising.
        act_bits: supported widths of activations, rising; each goes with every width of weights.
        accumulator_bits: bits of the register that sums products.
        rounding: one of `ROUNDINGS`.
        shared_parameter_ops: operators whose operands must have equal scales and zero points.
        source: where this comes from.
    """

    weight_bits: tuple[int, ...]
    act_bits: tuple[int, ...]
    accumulator_bits: int
    rounding: str
    shared_parameter_ops: tuple[str, ...]
    source: str

    @cached_property
    def precisions(self) -> tuple[Precision, ...]:
        """All supported pairs, sorted."""
        return tuple(Precision(*pair) for pair in product(self.weight_bits, self.act_bits))


def read_arithmetic(spec: HardwareSpec, buildable: frozenset[int]) -> Arithmetic:
    """Read ``[arithmetic]`` and check it.

    Args:
        spec: the machine file.
        buildable: the widths that the architecture can be built for.

    Raises:
        SpecError: the table breaks a rule of `HardwareSpec.table`, or a width or a rule is not possible.
    """
    table = spec.table("arithmetic", Arithmetic)
    for key, widths in (("weight_bits", table.weight_bits), ("act_bits", table.act_bits)):
        if not widths or list(widths) != sorted(set(widths)) or not buildable.issuperset(widths):
            expected = f"rising widths out of {sorted(buildable)}"
            raise SpecError(f"{spec.file}: [arithmetic] {key}: expected {expected}, found {str(widths)[:60]}")
    if table.rounding not in ROUNDINGS:
        expected = f"one of {', '.join(ROUNDINGS)}"
        raise SpecError(
            f"{spec.file}: [arithmetic] rounding: expected {expected}, found {table.rounding[:60]!r}"
        )
    if not max(table.weight_bits) + max(table.act_bits) <= 2 * table.accumulator_bits <= 4 * MAX_BITS:
        expected = f"from half of the widest product to {2 * MAX_BITS}"
        found = str(table.accumulator_bits)[:60]
        raise SpecError(f"{spec.file}: [arithmetic] accumulator_bits: expected {expected}, found {found}")
    return table
