"""`Decision`: an allocation together with what it was chosen from and within which limits; problem.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from passes.allocation.budget import Budget
from passes.allocation.evaluate import evaluate
from passes.allocation.json_fields import as_items, as_number, as_object, as_text, refuse
from passes.allocation.problem import AllocationProblem
from passes.errors import ProblemError
from passes.html_table import html_table

if TYPE_CHECKING:
    from pathlib import Path

    from passes.allocation.allocation import Allocation

KEY = "decision"
"""Key of PROBLEM.json under which the decision lies beside what it was chosen from."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a solver was asked, and what it answered.

    Attributes:
        problem: the choices of every layer.
        budgets: limits that had to be met.
        minimize: ``loss`` or a cost metric.
        choices: index into each layer's own choices.
        bound: no choice within the budgets has a smaller objective; ``None`` where nothing is proven.

    Raises:
        ProblemError: the choices are not those of a plan of the problem.
    """

    problem: AllocationProblem
    budgets: tuple[Budget, ...]
    minimize: str
    choices: tuple[int, ...]
    bound: float | None = None

    def __post_init__(self) -> None:
        """Refuse choices that the problem does not have."""
        evaluate(self.problem, self.choices)

    @classmethod
    def of(
        cls, problem: AllocationProblem, budgets: list[Budget], minimize: str, found: Allocation
    ) -> Decision:
        """Return the decision that a solver has made."""
        return cls(problem, tuple(budgets), minimize, found.choices, found.bound)

    @property
    def pairs(self) -> dict[str, tuple[int, int]]:
        """``(weight_bits, act_bits)`` by layer name."""
        taken = zip(self.problem.layers, self.choices, strict=True)
        return {layer.name: layer.choices[index].pair for layer, index in taken}

    def _repr_html_(self) -> str:
        taken = zip(self.problem.layers, self.choices, strict=True)
        chosen = [(layer.name, layer.choices[index]) for layer, index in taken]
        rows = [
            (
                name,
                it.weight_bits,
                it.act_bits,
                it.loss,
                *(it.cost[metric] for metric in self.problem.metrics),
            )
            for name, it in chosen
        ]
        head = ("layer", "weight bits", "activation bits", "loss", *self.problem.metrics)
        return html_table(f"Choices of least {self.minimize}", head, rows)

    def to_json(self) -> dict[str, Any]:
        """Return the problem.json document: a PROBLEM.json with the decision under `KEY`."""
        return self.problem.to_json() | {
            KEY: {
                "minimize": self.minimize,
                "budgets": [asdict(budget) for budget in self.budgets],
                "choices": list(self.choices),
                "bound": self.bound,
            }
        }

    @classmethod
    def from_json(cls, document: object, where: str) -> Decision:
        """Read a problem.json document.

        Args:
            document: parsed JSON.
            where: file name, for messages.

        Raises:
            ProblemError: a field is missing, of the wrong type, or contradicts another; the message names it.
        """
        problem, place = AllocationProblem.from_json(document, where), f"{where}: {KEY}"
        entry = as_object(as_object(document, where).get(KEY), place)
        minimize = as_text(entry.get("minimize"), f"{place}.minimize")
        rows = as_items(entry.get("budgets"), f"{place}.budgets")
        budgets = tuple(_budget(*row, problem.metrics) for row in rows)
        choices = tuple(_index(*item) for item in as_items(entry.get("choices"), f"{place}.choices"))
        bound = entry.get("bound")
        proven = None if bound is None else as_number(bound, f"{place}.bound")
        _check_metric(minimize, problem.metrics, f"{place}.minimize")
        try:
            return cls(problem, budgets, minimize, choices, proven)
        except ProblemError as error:
            raise ProblemError(f"{place}: {error}") from error

    @classmethod
    def load(cls, path: Path) -> Decision:
        """Read a problem.json file; errors as for `AllocationProblem.load` and `from_json`."""
        return cls.from_json(AllocationProblem.document(path), str(path))


def _budget(value: object, where: str, metrics: tuple[str, ...]) -> Budget:
    entry = as_object(value, where)
    metric = as_text(entry.get("metric"), f"{where}.metric")
    _check_metric(metric, metrics, f"{where}.metric")
    return Budget(metric, as_number(entry.get("limit"), f"{where}.limit"))


def _check_metric(metric: str, metrics: tuple[str, ...], where: str) -> None:
    known = ("loss", *metrics)
    if metric not in known:
        raise refuse(where, f"one of {', '.join(known)}", metric)


def _index(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise refuse(where, "the index of a choice", value)
    return value
