"""`AllocationProblem`: one choice of precision per layer, each with a loss and a cost; and its JSON form.

The document, of which all but ``layers`` may be left out::

    {"name": "net",
     "layers": [{"name": "conv1", "choices": [
         {"weight_bits": 4, "act_bits": 8, "loss": 0.02, "cost": {"latency_s": 1e-3}}, ...]}, ...],
     "ties": [["conv1", "conv2"]],
     "act_ties": [["conv3", "conv4"]],
     "boundaries": [{"from": "conv1", "to": "conv3", "costs": [
         {"from_bits": 8, "to_bits": 4, "cost": {"latency_s": 1e-5}}, ...]}, ...],
     "fixed": {"latency_s": 2e-4}}

A total is the sum over the layers of what they take, plus the sum over the boundaries of what the
``act_bits`` of their two layers cost there (nothing where the pair or the metric is absent), plus the fixed
part.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from passes.allocation.boundaries import Boundary, check_boundary, check_partial_cost
from passes.allocation.choices import Choice, LayerChoices
from passes.allocation.groups import components, joint_options, tied_groups
from passes.allocation.json_fields import as_cost, as_items, as_names, as_number, as_object, as_text, refuse
from passes.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MAX_PROBLEM_BYTES = 1 << 28
"""Largest problem file that is read: 256 MiB, about a million choices."""

LOSS = "loss"
"""Name under which the loss is an objective or has a budget, beside the cost metrics."""


@dataclass(frozen=True, slots=True)
class AllocationProblem:
    """Every layer with its choices, which layers must agree, and what lies between them.

    Groups of `ties` and of `act_ties` that share a layer act as one group.

    Attributes:
        name: for people.
        layers: in the order of the network; names are unique.
        ties: groups of layers that take the same ``(weight_bits, act_bits)``, such as both inputs of an add.
        act_ties: groups of layers that take the same ``act_bits``, such as the readers of one tensor.
        boundaries: what depends on the ``act_bits`` of two layers; parallel ones add up.
        fixed: by metric, what no choice changes; finite and not negative, absent metrics are zero.
        metrics: names of the costs, the same for every choice, in the order of the first choice.

    Raises:
        ProblemError: the parts contradict each other.
    """

    name: str
    layers: tuple[LayerChoices, ...]
    ties: tuple[tuple[str, ...], ...] = ()
    act_ties: tuple[tuple[str, ...], ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    fixed: Mapping[str, float] = field(default_factory=dict)
    metrics: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Check the parts against each other."""
        _check_names(self)
        object.__setattr__(self, "metrics", _common_metrics(self.layers))
        for layer in self.layers:
            for index, choice in enumerate(layer.choices):
                _check_choice(choice, self.metrics, f"layer {layer.name!r}, choice {index}")
        _check_ties(self)
        names = {layer.name for layer in self.layers}
        for index, boundary in enumerate(self.boundaries):
            check_boundary(boundary, names, self.metrics, f"boundaries[{index}]")
        check_partial_cost(self.fixed, self.metrics, "fixed")

    def to_json(self) -> dict[str, Any]:
        """Return the PROBLEM.json document."""
        return {
            "name": self.name,
            "layers": [
                {"name": it.name, "choices": [one.to_json() for one in it.choices]} for it in self.layers
            ],
            "ties": [list(group) for group in self.ties],
            "act_ties": [list(group) for group in self.act_ties],
            "boundaries": [boundary.to_json() for boundary in self.boundaries],
            "fixed": dict(self.fixed),
        }

    @classmethod
    def from_json(cls, document: object, where: str = "problem") -> AllocationProblem:
        """Read a PROBLEM.json document; keys that it does not know are left alone.

        Args:
            document: parsed JSON.
            where: file name, for messages.

        Raises:
            ProblemError: a field is missing, of the wrong type, or contradicts another; the message names it.
        """
        entry = as_object(document, where)
        layers = [LayerChoices.from_json(*item) for item in as_items(entry.get("layers"), f"{where}: layers")]
        ties = as_names(entry.get("ties", []), f"{where}: ties")
        act_ties = as_names(entry.get("act_ties", []), f"{where}: act_ties")
        items = as_items(entry.get("boundaries", []), f"{where}: boundaries")
        boundaries = tuple(Boundary.from_json(*item) for item in items)
        fixed = as_cost(entry.get("fixed", {}), f"{where}: fixed")
        name = as_text(entry.get("name", "problem"), f"{where}: name")
        try:
            return cls(name, tuple(layers), ties, act_ties, boundaries, fixed)
        except ProblemError as error:
            raise ProblemError(f"{where}: {error}") from error

    @classmethod
    def load(cls, path: Path) -> AllocationProblem:
        """Read a PROBLEM.json file; errors as for `document` and `from_json`."""
        return cls.from_json(cls.document(path), str(path))

    @staticmethod
    def document(path: Path) -> Any:
        """Return what a PROBLEM.json file holds, unchecked.

        Raises:
            ProblemError: the file is missing, too large (`MAX_PROBLEM_BYTES`) or not JSON.
        """
        try:
            size = path.stat().st_size
            if size > MAX_PROBLEM_BYTES:
                raise refuse(str(path), f"a problem of at most {MAX_PROBLEM_BYTES} bytes", size)
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ProblemError(f"{path}: cannot be read as a problem: {error}") from error


def _check_names(problem: AllocationProblem) -> None:
    counts = Counter(layer.name for layer in problem.layers)
    for name, count in counts.items():
        if count > 1:
            raise ProblemError(f"layer {name!r} appears {count} times; names must be unique")
    for kind in ("ties", "act_ties"):
        groups: tuple[tuple[str, ...], ...] = getattr(problem, kind)
        for name in (name for group in groups for name in group if name not in counts):
            raise ProblemError(f"{kind} name a layer {name!r} that does not exist")


def _common_metrics(layers: Iterable[LayerChoices]) -> tuple[str, ...]:
    metrics: tuple[str, ...] | None = None
    for layer in layers:
        if not layer.choices:
            raise ProblemError(f"layer {layer.name!r} has no choices; give it at least one")
        metrics = tuple(layer.choices[0].cost) if metrics is None else metrics
    if metrics is None:
        raise ProblemError("there are no layers")
    if LOSS in metrics:
        raise ProblemError(f"a cost is called {LOSS!r}, which names the loss itself; rename it")
    return metrics


def _check_choice(choice: Choice, metrics: tuple[str, ...], where: str) -> None:
    as_number(choice.loss, f"{where}, loss")
    if choice.cost.keys() != set(metrics):
        raise refuse(where, f"the cost metrics {sorted(metrics)} of the first choice", sorted(choice.cost))
    for metric, value in choice.cost.items():
        if as_number(value, f"{where}, {metric}") < 0:
            raise refuse(f"{where}, {metric}", "a cost that is not negative", value)


def _check_ties(problem: AllocationProblem) -> None:
    groups = tied_groups(problem.layers, problem.ties)
    acts = [_offered_acts(problem.layers, group) for group in groups]
    for component in components(problem.layers, groups, problem.act_ties):
        if not set.intersection(*(acts[group] for group in component)):
            names = ", ".join(problem.layers[member].name for group in component for member in groups[group])
            raise ProblemError(f"act_ties: the layers {names} share no act_bits")


def _offered_acts(layers: tuple[LayerChoices, ...], group: tuple[int, ...]) -> set[int]:
    first = layers[group[0]].choices
    return {first[option[0]].act_bits for option in joint_options(layers, group)}
