"""The end of learning bits: gates are closed until all budgets are met, and opened where there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.errors import InfeasibleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hwmodels import Precision
    from passes.training.gated import Gated
    from passes.training.gates import Gates
    from passes.training.resource import Limit

    Price = Callable[[Mapping[str, Precision], Mapping[str, int]], Mapping[str, float]]


def check_feasible(gated: Gated, limits: Sequence[Limit], price: Price) -> None:
    """Check that the least bits of everything meet all budgets; bits are left as they are.

    Raises:
        InfeasibleError: they exceed one.
    """
    places = [(gates, gates.place) for gates in gated.gates.values()]
    for gates, _ in places:
        gates.place = 0
    over = exceeded(limits, price(gated.bits(), gated.tables()))
    for gates, place in places:
        gates.place = place
    if over:
        raise InfeasibleError(f"with the least bits everywhere the network still costs {over}")


def settle(gated: Gated, limits: Sequence[Limit], price: Price) -> None:
    """Fix the bits.

    Of the gates that may be closed next the one nearest to it goes, while a budget is exceeded; then those
    nearest to being open are opened as long as budgets allow.

    Args:
        gated: its gates stay as they are left.
        limits: budgets.
        price: tells the cost of the network at given bits and bits of indices, by metric.

    Raises:
        InfeasibleError: the least bits of everything exceed a budget.
    """
    learned = gated.gates
    gated.decide()
    while over := exceeded(limits, price(gated.bits(), gated.tables())):
        open_ = [gates for gates in learned.values() if gates.place > 0]
        if not open_:
            raise InfeasibleError(f"with the least bits everywhere the network still costs {over}")
        nearest = min(open_, key=lambda gates: float(gates.free[gates.place - 1].detach()))
        nearest.place -= 1
    _reopen(gated, limits, price)
    for gates in learned.values():
        gates.settle()


def _reopen(gated: Gated, limits: Sequence[Limit], price: Price) -> None:
    """Open gates as long as budgets allow; one that does not fit leaves its quantizer as it is."""
    waiting: list[Gates] = [gates for gates in gated.gates.values() if gates.place + 1 < len(gates.widths)]
    while waiting:
        nearest = max(waiting, key=lambda gates: float(gates.free[gates.place].detach()))
        nearest.place += 1
        if exceeded(limits, price(gated.bits(), gated.tables())):
            nearest.place -= 1
            waiting.remove(nearest)
        elif nearest.place + 1 == len(nearest.widths):
            waiting.remove(nearest)


def exceeded(limits: Sequence[Limit], costs: Mapping[str, float]) -> str:
    """Return the first budget that is exceeded, in words; empty when there is none."""
    for limit in limits:
        if costs[limit.metric] > limit.most:
            return f"{costs[limit.metric]:.6g} of {limit.metric}, the budget is {limit.most:.6g}"
    return ""
