"""What operators without products and conversions take on a measured machine."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING

from hwmodels.elementwise import CONVERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwmodels.elementwise import Elementwise

INTEGER_BITS, FLOAT_BITS = 8, 32
"""Operators on at most 8 bits run on 8-bit codes, all others on floating point."""

OPERATORS = ("Add", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Softmax")
"""Operators that are measured; any other is priced as the first."""


QUANTIZE, DEQUANTIZE = "quantizelinear_8bit", "dequantizelinear_8bit"
OPERATOR_TABLES = (
    *(f"{op.lower()}_{bits}bit" for op in OPERATORS for bits in (INTEGER_BITS, FLOAT_BITS)),
    *(QUANTIZE, DEQUANTIZE),
)
"""The tables of a machine file, in addition to those of kernels."""


@dataclass(frozen=True)
class OperatorCost:
    """One table per operator and width, such as ``[add_8bit]``; without numbers the operator is fused."""

    source: str
    per_step_s: float = 0.0
    per_input_s: float = 0.0
    per_output_s: float = 0.0

    def seconds(self, work: Elementwise) -> float:
        """Return the time of one operator."""
        return self.per_step_s + self.per_input_s * work.in_elements + self.per_output_s * work.out_elements


def operator_s(tables: Mapping[str, OperatorCost], work: Elementwise, in_bits: int, out_bits: int) -> float:
    """Return the seconds of an operator at the wider of its widths, with the conversion to the other.

    Args:
        tables: by the names of `OPERATOR_TABLES`.
        work: an operator, or a conversion alone.
        in_bits: width of what it reads.
        out_bits: width of what it writes.
    """
    if work.op == CONVERSION:
        return _conversion_s(tables, work, in_bits, out_bits)
    op = work.op if work.op in OPERATORS else OPERATORS[0]
    seconds = tables[operator_table(op, max(in_bits, out_bits))].seconds(work)
    mixed = _wide(in_bits) != _wide(out_bits)
    return seconds + (_conversion_s(tables, work, in_bits, out_bits) if mixed else 0.0)


def operator_table(op: str, bits: int) -> str:
    """Return the name of the table that prices an operator at a width, such as ``"maxpool_8bit"``."""
    return f"{op.lower()}_{FLOAT_BITS if _wide(bits) else INTEGER_BITS}bit"


def _conversion_s(
    tables: Mapping[str, OperatorCost], work: Elementwise, in_bits: int, out_bits: int
) -> float:
    """Narrow to narrow goes through floating point; between wide formats nothing happens."""
    if in_bits == out_bits:
        return 0.0
    steps = ((DEQUANTIZE, not _wide(in_bits)), (QUANTIZE, not _wide(out_bits)))
    return fsum(tables[table].seconds(work) for table, needed in steps if needed)


def _wide(bits: int) -> bool:
    return bits > INTEGER_BITS
