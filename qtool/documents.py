"""The JSON and TOML documents that the tool writes and reads, as types.

`docs/reference_pages.py` makes the JSON schemas in docs/reference/schemas of them. Where a document is a
dataclass of the tool, as report.json is, that is its type; the others are described here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypeAlias, TypedDict

from passes.allocation.budget import Budget
from passes.allocation.choices import LayerChoices
from qtool.check.config import Options
from qtool.check.facts import Facts
from qtool.check.tolerances import Tolerances
from qtool.report.report import ModelReport, Report

Number: TypeAlias = float
Scales: TypeAlias = float | list[float] | list[list[float]] | list[list[list[float]]]
Points: TypeAlias = int | list[int] | list[list[int]] | list[list[list[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDocument(Report):
    """report.json: the outcome of `qtool quantize` or `qtool finetune`."""

    schema_version: Literal[1]


class LayerPlan(TypedDict):
    """A layer: its name and operator, bits of its weights and of the activation that it reads."""

    name: str
    op: str
    weight_bits: int
    act_bits: int


class TensorPlan(TypedDict):
    """A quantized tensor: its integers, and the scales and zero points that give them values."""

    role: Literal["weight", "act"]
    bits: int
    signed: bool
    narrow_range: bool
    symmetric: bool
    axis: int | None
    group_size: NotRequired[int]
    power_of_two: NotRequired[bool]
    points: NotRequired[list[int]]
    levels: NotRequired[list[int]]
    scale: NotRequired[Scales]
    zero_point: NotRequired[Points]


class PlanDocument(TypedDict):
    """plan.json: the decisions, to be edited and lowered again; codes of weights lie in plan.safetensors."""

    schema_version: Literal[1]
    model_sha256: str
    target: str
    prepared: NotRequired[str]
    layers: list[LayerPlan]
    tensors: dict[str, TensorPlan]
    biases: NotRequired[dict[str, list[float]]]
    constants: NotRequired[list[str]]
    codes_sha256: NotRequired[str]


class Conversion(TypedDict):
    """What a pair of widths costs at a boundary."""

    from_bits: int
    to_bits: int
    cost: dict[str, float]


BoundaryDocument = TypedDict(
    "BoundaryDocument",
    {"from": str, "to": str, "costs": list[Conversion]},
)


class DecisionDocument(TypedDict):
    """What was chosen: an index into the choices of every layer, and what no choice can be better than."""

    minimize: str
    budgets: list[Budget]
    choices: list[int]
    bound: float | None


class ProblemDocument(TypedDict):
    """PROBLEM.json and problem.json: what every layer may take, for `qtool allocate` and `explain`."""

    name: NotRequired[str]
    layers: list[LayerChoices]
    ties: NotRequired[list[list[str]]]
    act_ties: NotRequired[list[list[str]]]
    boundaries: NotRequired[list[BoundaryDocument]]
    fixed: NotRequired[dict[str, float]]
    decision: NotRequired[DecisionDocument]


class LayerWidths(TypedDict):
    """A layer of a plan on a front."""

    name: str
    weight_bits: int
    act_bits: int


class MeasuredPlan(TypedDict):
    """A plan that was measured on all samples; `estimate` is the loss that sensitivities expect."""

    loss: float
    cost: dict[str, float]
    estimate: float


class UniformPlan(TypedDict):
    """A uniform plan; its loss is null where it was not measured."""

    name: str
    loss: float | None
    cost: dict[str, float]
    estimate: float


class FrontPoint(TypedDict):
    """A plan on the front; no plan of at most its costs has an estimate below `estimate_bound`."""

    index: int
    value: float | None
    loss: float
    cost: dict[str, float]
    estimate: float
    estimate_bound: float | None
    layers: list[LayerWidths]


# A field called "float" hides the type of that name, as in `qtool.report.report`.
class SearchMetric(TypedDict):
    """What a search measures, on how many samples, and what the float model has."""

    name: str
    samples: int
    float: Number | None


class FrontDocument(TypedDict):
    """front.json: what `qtool search` found."""

    schema_version: Literal[1]
    qtool: str
    model: ModelReport
    target: str
    solver: str
    seed: int
    metric: SearchMetric
    objectives: list[str]
    budgets: list[Budget]
    evaluations: int
    failed: int
    stopped: str
    hypervolume: float
    knee: int | None
    front: list[FrontPoint]
    measured: list[MeasuredPlan]
    uniform: list[UniformPlan]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTable(Options):
    """A table `[models.NAME]` of qtool.toml: the model, options of `qtool quantize`, and tolerances."""

    model: str
    tolerances: Tolerances = field(default_factory=Tolerances)


class CheckDocument(TypedDict):
    """qtool.toml: the models of a repository, what they may cost, and how far they may move."""

    baseline: NotRequired[str]
    out: NotRequired[str]
    defaults: NotRequired[Options]
    tolerances: NotRequired[Tolerances]
    models: dict[str, ModelTable]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel(Facts):
    """What a baseline says of a model: its figures, and digests of what made it and of what it made."""

    files: Mapping[str, str]
    inputs: Mapping[str, str]


class BaselineDocument(TypedDict):
    """qtool-baseline.json: what `qtool check` compares with."""

    schema_version: Literal[1]
    models: dict[str, KnownModel]


DOCUMENTS: Mapping[str, type] = {
    "report": ReportDocument,
    "plan": PlanDocument,
    "problem": ProblemDocument,
    "front": FrontDocument,
    "qtool-toml": CheckDocument,
    "baseline": BaselineDocument,
}
"""The documents by the name of their schema."""
