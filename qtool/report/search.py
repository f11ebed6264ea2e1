"""`SearchReport`: what front.json says, as data; see `qtool.exploration.document`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from qtool.report.report import ModelReport

# A field called "float" hides the type of that name from the fields after it.
_Value: TypeAlias = float | None


@dataclass(frozen=True, slots=True)
class MeasuredPlan:
    """A plan of a search.

    Attributes:
        cost: by metric.
        estimate: the loss that the additive estimate expects.
        loss: measured: metric of the float model less the plan's; ``None`` where it was not measured.
        name: of a uniform plan.
    """

    cost: Mapping[str, float]
    estimate: float
    loss: float | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class PlanBits:
    """The widths of one layer of a plan."""

    name: str
    weight_bits: int
    act_bits: int


@dataclass(frozen=True, slots=True)
class SearchPoint:
    """A plan on the front.

    Attributes:
        index: from 0, along the front.
        value: of the metric.
        loss: metric of the float model less that of the plan.
        cost: by metric.
        estimate: the loss that the additive estimate expects.
        estimate_bound: the least estimate of any plan of at most these costs; ``None`` where not known.
        layers: in graph order.
    """

    index: int
    value: float
    loss: float
    cost: Mapping[str, float]
    estimate: float
    layers: tuple[PlanBits, ...]
    estimate_bound: float | None = None


@dataclass(frozen=True, slots=True)
class SearchMetric:
    """What was measured: its name, on how many samples, and its value of the float model."""

    name: str
    samples: int
    float: _Value = None


@dataclass(frozen=True, slots=True)
class SearchBudget:
    """A limit on a cost or on the measured loss, in its unit."""

    metric: str
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport:
    """The outcome of one ``qtool search``.

    Attributes:
        qtool: version of the tool.
        model: what was searched.
        target: name of the machine.
        solver: that proposed plans.
        seed: root of every random choice.
        metric: what was measured.
        objectives: ``loss`` and then costs.
        budgets: limits.
        evaluations: plans measured.
        failed: plans that could not be.
        stopped: why the search ended.
        hypervolume: share that the front dominates.
        knee: index of the point nearest to the best of everything.
        front: in rising order of cost.
        measured: every plan that was measured on all samples.
        uniform: plans of one precision.
        versions: of the packages that decide the result, by name.
    """

    qtool: str
    model: ModelReport
    target: str
    solver: str
    seed: int
    metric: SearchMetric
    objectives: tuple[str, ...]
    budgets: tuple[SearchBudget, ...]
    evaluations: int
    failed: int
    stopped: str
    hypervolume: float
    knee: int | None
    front: tuple[SearchPoint, ...]
    measured: tuple[MeasuredPlan, ...] = ()
    uniform: tuple[MeasuredPlan, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
