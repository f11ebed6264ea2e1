"""Whether budgets can be met at all, and what is the least that can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.errors import InfeasibleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passes.allocation.core import Core


class InfeasibleBudgetError(InfeasibleError):
    """No choice meets the budgets.

    Attributes:
        least: by metric, the least value that is feasible.
    """

    def __init__(self, message: str, least: Mapping[str, float]) -> None:
        """Keep the message and the least feasible value per metric."""
        super().__init__(message)
        self.least = dict(least)


def check_each_budget(core: Core, lowests: Sequence[float]) -> None:
    """Refuse budgets that cannot be met even when everything else is given up.

    Args:
        core: with the budgets.
        lowests: per budget, the least that its metric can be.

    Raises:
        InfeasibleBudgetError: names the least that is feasible for each of them.
    """
    least, reasons = {}, []
    for metric, lowest, limit in zip(core.metrics, lowests, core.limit, strict=True):
        if lowest > limit:
            least[metric] = lowest
            reasons.append(f"{metric}: the limit is {limit:.9g}, the least that is feasible is {lowest:.9g}")
    if reasons:
        raise InfeasibleBudgetError("no choice meets the budgets; " + "; ".join(reasons), least)


def conflict(core: Core, lowest: float, *, proven: bool) -> InfeasibleBudgetError:
    """Build the error for budgets of which each can be met alone but not all together.

    Args:
        core: with the budgets, the first of which is to be raised.
        lowest: the least of the first budget's metric that was found within the others.
        proven: false when the search ran out of time, so that a smaller value may exist.
    """
    metric, others = core.metrics[0], ", ".join(core.metrics[1:])
    start = "the budgets conflict" if proven else "no choice within the budgets was found in time"
    known = "that is feasible" if proven else "found so far"
    msg = (
        f"{start}; each can be met alone, but within the budgets for {others} "
        f"the least {metric} {known} is {lowest:.9g}, the limit is {core.limit[0]:.9g}"
    )
    return InfeasibleBudgetError(msg, {metric: lowest})
