"""The part of the report that compares the two forms operator by operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtool.agreement import LayerAgreement


@dataclass(frozen=True, slots=True)
class StepReport:
    """One operator of the artifact against that of the Q/DQ model, on equal inputs.

    Attributes:
        name: of the operator.
        op: its kind.
        max_lsb: largest difference in steps of the result.
        lsb_0: share of the elements that are equal, from 0 to 1.
        lsb_1: one step apart.
        lsb_2: two steps apart.
        lsb_3_or_more: further apart.
        elements: how many were compared.
    """

    name: str
    op: str
    max_lsb: float
    lsb_0: float
    lsb_1: float
    lsb_2: float
    lsb_3_or_more: float
    elements: int

    @classmethod
    def of(cls, found: LayerAgreement) -> StepReport:
        """Return the entry of one comparison."""
        return cls(found.name, found.op, found.max_lsb, *found.shares(), found.elements)
