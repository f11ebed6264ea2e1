"""`QuantizeRequest`: what ``qtool quantize`` was asked for; every mistake that needs no model ends here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hwmodels import FLOAT, Metric, load_target
from passes.allocation import solver_names
from passes.allocation.quantities import BudgetRequest, first_metric, supported, word_of
from passes.analysis.names import SENSITIVITIES
from passes.errors import UsageError, unknown_name
from passes.execution.metrics import METRICS as TASK_METRICS
from passes.numerics import RangeMethod
from passes.numerics.formats import SUPPORTED_BITS
from qtool.output_folder import check_output_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from hwmodels import Precision
    from passes.execution.preprocess import Preprocess

__all__ = ["FORMS", "SENSITIVITIES", "BudgetRequest", "QuantizeRequest"]

FORMS = ("qdq", "qcdq", "qonnx", "matmulnbits", "packed")
"""The forms in which a result can be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeRequest:
    """One compilation; valid by construction, as far as that can be told without opening the model.

    Attributes:
        model: the .onnx file.
        out: folder for the results.
        target: name of a machine, or path of its .toml file.
        calib: where the calibration samples are; ``None`` where the pipeline needs none.
        eval: where the held-out samples are; ``None`` to measure nothing.
        train: where the samples to learn from are, for passes that train.
        plan: a plan.json to go on from; its passes run before those of the pipeline.
        preprocess: how images become inputs.
        samples: use the first so many of each set.
        shapes: of inputs, by name, at which work is priced; others are as in the first calibration sample.
        metric: task metric; ``None`` lets the data decide.
        label_offset: added to labels, 1 for models with a background class.
        budgets: all are to be met.
        max_drop: how far the metric may fall below the float model, as a fraction; excludes budgets.
        minimize: what is minimised within ``max_drop``; the target's first metric by default.
        bits: widths that weights and activations may take, the widest up to 8 where nothing is to be solved;
            empty for all that the target runs.
        pins: pattern and precision of layers that are fixed, in order; the last that matches counts.
        group_size: input channels that share a scale of the weights; 0 for a scale per output channel.
        solver: name of the solver.
        seed: root of every random choice.
        workers: threads; 0 leaves the choice to ONNX Runtime.
        time_limit_s: seconds for the solver.
        forms: what to write, out of `FORMS`.
        ranges: how activation ranges are chosen, a `RangeMethod`.
        sensitivity: out of `SENSITIVITIES`.
        pipeline: passes in text form that replace the preset.
        segment_bytes: constants of the model that are in memory at a time while it runs over the calibration
            data, the others staying in their files; 0 for all at once, and models of up to 2 GB.
        force: write into a folder that holds files already.

    Raises:
        UsageError: the request contradicts itself, names something unknown, or cannot be written.
        HardwareError: the target is unknown or its file is damaged.
    """

    model: Path
    out: Path
    target: str
    calib: str | None = None
    eval: str | None = None
    train: str | None = None
    plan: Path | None = None
    preprocess: Preprocess | None = None
    samples: int | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    metric: str | None = None
    label_offset: int = 0
    budgets: tuple[BudgetRequest, ...] = ()
    max_drop: float | None = None
    minimize: Metric | None = None
    bits: tuple[int, ...] = ()
    pins: tuple[tuple[str, Precision], ...] = ()
    group_size: int = 0
    solver: str = "ilp"
    seed: int = 0
    workers: int = 0
    time_limit_s: float = 60.0
    forms: tuple[str, ...] = ("qdq", "packed")
    ranges: str = RangeMethod.MSE.value
    sensitivity: str = "scaled"
    quality_plans: int = 16
    pipeline: str | None = None
    segment_bytes: int = 0
    force: bool = False

    def __post_init__(self) -> None:
        """Check names, numbers, the target and the folder, cheapest first."""
        _check_names(self)
        _check_numbers(self)
        _check_drop(self)
        _check_metrics(self)
        check_output_folder(self.out, force=self.force)

    def objective(self) -> Metric | None:
        """Return what the cheapest plan within ``max_drop`` minimises; ``None`` without a drop."""
        if self.max_drop is None or self.minimize is not None:
            return self.minimize
        return first_metric(load_target(self.target))


def _check_names(request: QuantizeRequest) -> None:
    _known("solver", request.solver, solver_names())
    _known("range method", request.ranges, list(RangeMethod))
    _known("sensitivity", request.sensitivity, SENSITIVITIES)
    for form in request.forms:
        _known("form", form, FORMS)
    if request.metric is not None and ":" not in request.metric:
        _known("metric", request.metric, TASK_METRICS)


def _known(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise unknown_name(kind, name, known)


def _check_numbers(request: QuantizeRequest) -> None:
    if not request.forms:
        raise UsageError(f"--to: expected one or more of {', '.join(FORMS)}, found nothing")
    if request.samples is not None and request.samples < 1:
        raise UsageError(f"--samples: expected 1 or more, found {request.samples}")
    if request.quality_plans < 0 or request.quality_plans == 1:
        raise UsageError(f"--quality-plans: expected 0, or 2 and more, found {request.quality_plans}")
    if request.workers < 0 or request.seed < 0:
        found = f"{request.workers} and {request.seed}"
        raise UsageError(f"--workers and --seed must not be negative, found {found}")
    if not 0 < request.time_limit_s < float("inf"):
        raise UsageError(f"--time-limit: expected a positive number of seconds, found {request.time_limit_s}")
    precisions = [bits for _, pin in request.pins for bits in (pin.weight_bits, pin.act_bits)]
    for bits in (*request.bits, *precisions):
        if bits not in (*SUPPORTED_BITS, FLOAT.act_bits):
            known = ", ".join(str(width) for width in SUPPORTED_BITS)
            raise UsageError(f"{bits} bits cannot be represented; supported widths are {known} and float")
    if request.bits and min(request.bits) == FLOAT.act_bits:
        raise UsageError("--bits float: nothing would be quantized; add a width such as 8")
    if lone := [f"{name}={pin}" for name, pin in request.pins if pin.weight_bits == 32 != pin.act_bits]:
        raise UsageError(f"--pin {lone[0]}: weights stay float beside float activations only; write float")


def _check_drop(request: QuantizeRequest) -> None:
    if request.max_drop is None:
        if request.minimize is not None:
            raise UsageError("--minimize says what to save within --max-drop; give --max-drop, or a budget")
        return
    if not 0 <= request.max_drop <= 1:
        raise UsageError(f"--max-drop: expected a fraction from 0 to 1, found {request.max_drop}")
    if request.budgets:
        raise UsageError(
            f"--max-drop takes the place of budgets; leave out one of it and {request.budgets[0]}"
        )
    if request.eval is None:
        raise UsageError("--max-drop is measured on held-out data; give --eval")
    if request.metric == "sqnr":
        raise UsageError("--max-drop counts percentage points, and sqnr is in dB; take another --metric")


def _check_metrics(request: QuantizeRequest) -> None:
    target = load_target(request.target)
    sums = target.metrics & target.additive
    for budget in request.budgets:
        _check_metric(request.target, budget.metric, supported(target), "budgets", target.metrics)
    if request.minimize:
        _check_metric(request.target, request.minimize, sums, "--minimize", target.metrics)
    asked = [budget.metric for budget in request.budgets]
    twice = {word_of(metric) for metric in asked if asked.count(metric) > 1}
    if twice:
        raise UsageError(f"more than one budget on {', '.join(sorted(twice))}; give one")


def _check_metric(
    name: str, metric: Metric, known: Collection[Metric], what: str, estimated: Collection[Metric]
) -> None:
    if metric not in known:
        words = ", ".join(word_of(it) for it in Metric if it in known)
        reason = "is no sum over layers, which solvers need" if metric in estimated else "is not estimated"
        raise UsageError(f"target {name}: {word_of(metric)} {reason}; {what} may be on {words}")
