"""From a compilation to its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodels import FLOAT, Cost, Metric, Precision
from passes.allocation.allocate import Allocate
from passes.analysis.accumulators import Accumulators
from passes.analysis.cost import price_plan
from passes.analysis.outliers import find_outliers
from passes.analysis.workloads import Workloads
from passes.execution.collect import CollectActivations
from passes.ir.float_layers import fitted
from passes.ir.setup import quantizer_setup
from passes.ir.weight_groups import group_size
from passes.pipeline import parse
from qtool import __version__
from qtool.coverage import FLOATING, HEAVY, coverage, runs
from qtool.distributions import distributions
from qtool.environment import versions
from qtool.estimated_front import estimated_front
from qtool.report import (
    AccumulatorReport,
    AgreementReport,
    BudgetReport,
    CostReport,
    JournalLine,
    LayerReport,
    MetricReport,
    ModelReport,
    OutlierReport,
    Report,
    StepReport,
    TimeReport,
    UnquantizedReport,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.ir.layers import Layer, Unquantized
    from passes.ir.plan import QuantPlan
    from passes.ir.setup import QuantizerSetup
    from qtool.compilation import Compilation
    from qtool.proof import Proof
    from qtool.request import QuantizeRequest


def build_report(request: QuantizeRequest, done: Compilation, seconds: float, peak: int) -> Report:
    """Return the report of a compilation.

    Args:
        request: what was asked for.
        done: what came of it.
        seconds: wall-clock time of the whole run.
        peak: bytes of memory held at most.
    """
    model, ctx = done.model, done.ctx
    setup = fitted(quantizer_setup(model.graph, ctx.target), model.plan)
    bits = {name: layer.precision for name, layer in model.plan.layers.items()}
    total, by_layer = price_plan(model, ctx, bits, group_size(model.plan), points=True)
    eight, by_layer_8bit = price_plan(model, ctx, dict.fromkeys(bits, Precision(8, 8)))
    journal = [JournalLine(entry.source, entry.subject, entry.message) for entry in ctx.journal]
    if done.lowered.refusal:
        journal.append(JournalLine("lower", "packed", done.lowered.refusal))
    return Report(
        qtool=__version__,
        model=ModelReport(str(request.model), model.sha256),
        target=ctx.target.name,
        solver=_solver(done),
        seed=request.seed,
        metric=_metric(done.proof),
        cost=_cost(total),
        cost_8bit=_cost(eight),
        budgets=_budgets(done, total, eight),
        layers=(*_layers(done, setup, (by_layer, by_layer_8bit)), *_float_layers(setup)),
        coverage=coverage(done, setup),
        agreement=_agreement(done.proof),
        time_s=_times(done, seconds),
        peak_rss_bytes=peak,
        pipeline=",".join(record.text for record in done.records),
        versions=versions(),
        unquantized=tuple(
            UnquantizedReport(entry.name, entry.op, entry.reason) for entry in setup.unquantized
        ),
        journal=tuple(journal),
        accumulators=tuple(
            AccumulatorReport(bound.name, bound.op, bound.channel, bound.needed, bound.available)
            for bound in ctx.get(Accumulators(), model)
        ),
        outliers=tuple(
            OutlierReport.of(found) for found in find_outliers(setup, ctx.known(CollectActivations()))
        ),
        sensitivity_quality=done.quality,
        front=None if done.decision is None else estimated_front(done.decision),
        steps=tuple(StepReport.of(found) for found in done.proof.layers),
        distributions=distributions(setup, model.plan, ctx.known(CollectActivations())),
    )


def _allocations(done: Compilation) -> list[Allocate]:
    steps = [step for record in done.records for step in parse(record.text)]
    return [step for step in steps if isinstance(step, Allocate)]


def _solver(done: Compilation) -> str:
    facts = [record.facts for record in done.records if record.name == Allocate.name]
    return str(facts[-1].get("solver", "uniform")) if facts else "none"


def _metric(proof: Proof) -> MetricReport | None:
    if proof.metric is None:
        return None
    return MetricReport(proof.metric.name, proof.samples, proof.float_value, proof.quantized, proof.packed)


def _cost(cost: Cost) -> CostReport:
    return CostReport(**{metric.value: cost.get(metric) for metric in Metric})


def _budgets(done: Compilation, total: Cost, eight: Cost) -> tuple[BudgetReport, ...]:
    budgets = [budget for step in _allocations(done)[-1:] for budget in step.budgets(done.ctx.target, eight)]
    known = {metric.value: metric for metric in Metric}
    reports = []
    for budget in budgets:
        if budget.metric in known:
            used = total.get(known[budget.metric])
            met = used is not None and used <= budget.limit * (1 + 1e-9)
            reports.append(BudgetReport(budget.metric, budget.limit, used, met))
    return tuple(reports)


def _layers(
    done: Compilation, setup: QuantizerSetup, both: tuple[Mapping[str, Cost], Mapping[str, Cost]]
) -> list[LayerReport]:
    works, (prices, prices_8bit) = done.ctx.get(Workloads(), done.model), both
    index_bits = {layer.name: _index_bits(layer, done.model.plan) for layer in setup.layers}
    return [
        LayerReport(
            name=name,
            op=layer.op,
            weight_bits=_integer(layer.precision.weight_bits),
            act_bits=_integer(layer.precision.act_bits),
            loss=layer.loss,
            quantized=layer.precision.act_bits != FLOAT.act_bits,
            runs=runs(done, layer)[0],
            reason=runs(done, layer)[1],
            latency_s=prices[name].latency_s,
            energy_j=prices[name].energy_j,
            weight_bytes=prices[name].weight_bytes,
            bops=prices[name].bops,
            latency_8bit_s=prices_8bit[name].latency_s,
            energy_8bit_j=prices_8bit[name].energy_j,
            macs=float(works[name].macs),
            compute_s=prices[name].compute_s,
            memory_s=prices[name].memory_s,
            traffic_bytes=prices[name].traffic_bytes,
            on_chip_j=prices[name].on_chip_j,
            off_chip_j=prices[name].off_chip_j,
            index_bits=index_bits.get(name),
        )
        for name, layer in done.model.plan.layers.items()
    ]


def _index_bits(layer: Layer, plan: QuantPlan) -> int | None:
    quants = (plan.tensors.get(part.weight_name) for part in layer.parts)
    return max((it.stored_bits for it in quants if it is not None and it.levels is not None), default=None)


def _integer(bits: int) -> int | None:
    return None if bits == FLOAT.act_bits else bits


def _float_layers(setup: QuantizerSetup) -> list[LayerReport]:
    kept = {layer.name for layer in setup.floats}
    heavy = [entry for entry in setup.unquantized if entry.op in HEAVY and entry.name not in kept]
    return [_float_layer(entry) for entry in heavy]


def _float_layer(entry: Unquantized) -> LayerReport:
    return LayerReport(entry.name, entry.op, quantized=False, runs=FLOATING, reason=entry.reason)


def _agreement(proof: Proof) -> AgreementReport | None:
    if not proof.layers and proof.metric is None:
        return None
    return AgreementReport(proof.max_lsb, proof.top1_vs_packed, proof.top1_vs_float)


def _times(done: Compilation, seconds: float) -> TimeReport:
    spent = done.ctx.seconds
    analyze = sum(value for name, value in spent.items() if name != "activations")
    allocate = sum(record.seconds for record in done.records if record.name == Allocate.name)
    return TimeReport(
        total=seconds,
        calibrate=spent.get("activations"),
        analyze=analyze,
        allocate=max(allocate - sum(spent.values()), 0.0),
        lower=done.seconds["lower"],
        compare=done.seconds["compare"],
    )
