"""`Trial`: a result beside what it is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtool.check.verdict import ERROR, Case, Finding

if TYPE_CHECKING:
    from qtool.check.cache import Entry
    from qtool.check.facts import Facts
    from qtool.check.tolerances import Tolerances

UPDATE = "run `qtool check --update-baseline` and commit the baseline"


@dataclass(frozen=True, slots=True)
class Trial:
    """A result beside what it is held against.

    Attributes:
        limits: the tolerances.
        entry: the compiled model.
        now: its figures.
        then: those of the baseline, if it has any.
    """

    limits: Tolerances
    entry: Entry
    now: Facts
    then: Facts | None


def case_of(name: str, values: tuple[str, str, str], problem: str) -> Case:
    """Return a case with one finding on the whole model, or none.

    Args:
        name: of the case and of the rule.
        values: of the baseline, now, and the limit, for people.
        problem: what is wrong; empty when nothing is.
    """
    return Case(name, *values, (Finding(name, ERROR, problem),) if problem else ())
