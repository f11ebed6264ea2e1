"""`Allocation`: what a solver found and what it proved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from passes.allocation.evaluate import evaluate
from passes.allocation.problem import LOSS
from passes.html_table import html_table

if TYPE_CHECKING:
    from passes.allocation.problem import AllocationProblem

Status = Literal["optimal", "feasible"]


@dataclass(frozen=True, slots=True)
class Allocation:
    """One choice per layer that respects the ties and the budgets.

    Attributes:
        status: ``optimal`` when no better choice exists, ``feasible`` when that is not proven.
        objective: what was minimised, ``loss`` or a cost metric.
        loss: sum over layers.
        cost: by metric, sum over layers.
        bound: no choice within the budgets has a smaller objective; equals the objective when optimal.
        choices: index into each layer's own choices.
    """

    status: Status
    objective: str
    loss: float
    cost: dict[str, float]
    bound: float
    choices: tuple[int, ...]

    def to_json(self, problem: AllocationProblem) -> dict[str, Any]:
        """Return the document that ``qtool allocate --json`` prints."""
        layers = [
            {
                "name": layer.name,
                "weight_bits": layer.choices[index].weight_bits,
                "act_bits": layer.choices[index].act_bits,
                "choice": index,
            }
            for layer, index in zip(problem.layers, self.choices, strict=True)
        ]
        totals = {"status": self.status, "objective": self.objective, "loss": self.loss, "cost": self.cost}
        return totals | {"bound": self.bound, "layers": layers}

    def _repr_html_(self) -> str:
        rows = [("loss", self.loss), *self.cost.items(), (f"bound of {self.objective}", self.bound)]
        return html_table(f"An {self.status} allocation", ("", "value"), rows)


def make_allocation(
    problem: AllocationProblem, choices: tuple[int, ...], objective: str, *, bound: float, proven: bool
) -> Allocation:
    """Add a choice up and state what is known of it; a bound above the objective is rounding and is cut."""
    loss, cost = evaluate(problem, choices)
    value = loss if objective == LOSS else cost[objective]
    status: Status = "optimal" if proven else "feasible"
    return Allocation(status, objective, loss, cost, value if proven else min(bound, value), choices)
