"""How far the sensitivity of a compilation is to be trusted: its part of the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SensitivityReport:
    """A sensitivity judged on random plans of the model: predicted losses against measured noise, by rank.

    Attributes:
        name: of the sensitivity.
        plans: how many were measured.
        samples: calibration samples they were measured on.
        spearman: correlation of ranks, from -1 to 1.
        low: lower end of its 95 % interval.
        high: upper end.
        kendall: share of pairs of plans in the same order less the share in the other.
        predicted: per plan, the loss that the sensitivity expects.
        measured: per plan, energy of the noise at the output.
    """

    name: str
    plans: int
    samples: int
    spearman: float
    low: float
    high: float
    kendall: float
    predicted: tuple[float | None, ...] = ()
    measured: tuple[float | None, ...] = ()


def sensitivity_line(found: SensitivityReport) -> str:
    """Return the judgement as a sentence."""
    spread = f"{found.low:.2f} to {found.high:.2f}"
    return (
        f"`{found.name}` ranked {found.plans} random plans by what they lose at the output with a rank "
        f"correlation of {found.spearman:.2f} (95 %: {spread}; Kendall {found.kendall:.2f}), measured on "
        f"{found.samples} calibration samples."
    )
