"""`Budget`: a limit on one metric, and the text a user writes for it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from passes.allocation.problem import LOSS
from passes.allocation.totals import total
from passes.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from passes.allocation.problem import AllocationProblem


@dataclass(frozen=True, slots=True)
class Budget:
    """The sum of a metric over all layers may not exceed a limit.

    Attributes:
        metric: a cost metric of the problem, or ``loss``.
        limit: in the unit of the metric.

    Raises:
        UsageError: the limit is not finite.
    """

    metric: str
    limit: float

    def __post_init__(self) -> None:
        """Refuse NaN and infinities."""
        if not isfinite(self.limit):
            raise UsageError(f"budget for {self.metric}: expected a finite limit, found {self.limit}")


def parse_budget(text: str, problem: AllocationProblem) -> Budget:
    """Read ``metric=value`` or ``metric=0.25f``.

    With ``f`` the value is a fraction of the way from the cheapest to the dearest *uniform* choice, that is
    from every layer at its lowest pair of bits to every layer at its highest: ``low + f * (high - low)``
    (HAWQ-V3, section 3.4).

    Raises:
        UsageError: not of this form, not a finite number, or a metric that the problem does not have.
    """
    metric, _, value = (part.strip() for part in text.partition("="))
    check_metric(problem, metric)
    fraction = value.endswith("f")
    try:
        number = float(value.removesuffix("f"))
    except ValueError as error:
        raise UsageError(
            f"budget {text!r}: expected metric=number or metric=fraction and f, such as {metric}=0.25f"
        ) from error
    return Budget(metric, _between(problem, metric, number) if fraction else number)


def check_metric(problem: AllocationProblem, metric: str) -> None:
    """Refuse a metric that a problem neither counts nor calls its loss.

    Raises:
        UsageError: with the nearest names.
    """
    known = (LOSS, *problem.metrics)
    if metric not in known:
        raise unknown_name("metric", metric, known)


def _between(problem: AllocationProblem, metric: str, fraction: float) -> float:
    ends = []
    for end in (min, max):
        picked = [end(layer.choices, key=lambda choice: choice.pair) for layer in problem.layers]
        ends.append(total(problem, picked, metric))
    low, high = ends
    return low + fraction * (high - low)
