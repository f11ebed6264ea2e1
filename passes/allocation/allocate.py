"""`allocate`: pick the precision of every layer under budgets."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar

from hwmodels import Cost, HardwareModel, Metric, Precision
from passes.allocation.budget import Budget
from passes.allocation.build import build_problem, check_pins, match_pins, uniform_bits
from passes.allocation.decision import Decision
from passes.allocation.memory import PEAK, MemoryBudget
from passes.allocation.problem import LOSS
from passes.allocation.quantities import (
    METRICS,
    parse_budget,
    parse_metric,
    parse_pin,
    parse_precision,
    supported,
)
from passes.allocation.solver import solver
from passes.analysis.between import BetweenLayers
from passes.analysis.cost import Costs, CostTable, price_plan
from passes.analysis.names import find_sensitivity
from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import ModelError, UsageError
from passes.execution.collect import HISTOGRAMS, PATCHES
from passes.ir.float_layers import FLOAT_BITS
from passes.ir.layers import QUANTIZED
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.ir.weight_groups import with_groups

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passes.allocation.allocation import Allocation
    from passes.allocation.memory import Solved
    from passes.allocation.problem import AllocationProblem
    from passes.analysis.sensitivity import SensitivityTable
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup

EIGHT = Precision(8, 8)


@dataclass(frozen=True)
class Allocate(Pass):
    """Choose bits per layer: uniform without a budget, the solver's answer with one.

    Attributes:
        solver: name of the solver.
        max_latency: budget with a unit (``12ms``) or relative to uniform 8 bits (``0.5x``); empty for none.
        max_energy: likewise, in joules.
        max_size: likewise, bytes of weights.
        max_bops: likewise, bit operations.
        max_memory: likewise, bytes of activations that are alive at once.
        max_loss: budget on the summed loss, for ``minimize`` of a metric; 0 for none.
        minimize: ``loss``, ``latency``, ``energy``, ``size`` or ``bops``.
        bits: widths that the solver may choose from; 32 lets layers stay in floating point where the target
            runs that.
        pin: ``PATTERN=w8a8`` entries; the last that matches a layer counts.
        group_size: input channels that share a scale of the weights: 16, 32, 64 or 128; 0 for all of them.
            Losses are estimated as for 0.
        uniform: precision of all layers when there is nothing to solve.
        sensitivity: a name in `passes.analysis.names.SENSITIVITIES`.
        time_limit: seconds for the solver.
    """

    name: ClassVar[str] = "allocate"
    solver: str = "ilp"
    max_latency: str = ""
    max_energy: str = ""
    max_size: str = ""
    max_bops: str = ""
    max_memory: str = ""
    max_loss: float = 0.0
    minimize: str = LOSS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    pin: tuple[str, ...] = ()
    group_size: int = 0
    uniform: str = "w8a8"
    sensitivity: str = "scaled"
    time_limit: float = 60.0

    @property
    def observes(self) -> frozenset[str]:  # type: ignore[override]
        """What the sensitivity needs; nothing for a uniform plan."""
        return frozenset({HISTOGRAMS, PATCHES}) if self.searches else frozenset()

    @property
    def searches(self) -> bool:
        """True when there is something to solve."""
        return self.minimize != LOSS or any(self._budget_texts().values())

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Write bits and specifications into the plan.

        Raises:
            ModelError: the model has no layer that can be quantized.
            UsageError: an option cannot be understood, or a budget is on a metric the target does not sum.
            InfeasibleError: the budgets cannot be met.
        """
        setup = quantizer_setup(model.graph, ctx.target)
        if not setup.layers:
            reasons = "; ".join(sorted({f"{entry.op}: {entry.reason}" for entry in setup.unquantized}))
            hint = "; qtool plan import reads quantized models" if QUANTIZED in reasons else ""
            raise ModelError(
                f"{model.path}: nothing can be quantized ({reasons or 'it has no layers'}){hint}"
            )
        pins = match_pins(setup.layers, [parse_pin(text) for text in self.pin])
        check_pins(setup, pins)
        if self.searches:
            return self._solve(model, ctx, setup, pins)
        bits = uniform_bits(setup, parse_precision(self.uniform, "uniform"), pins)
        plan = with_groups(plan_of_bits(setup, bits), setup, self.group_size)
        model.plan = replace(plan, constants=model.plan.constants)
        return PassResult(Aspect.PLAN, _histogram(bits), {"solver": "uniform"})

    def problem(self, model: Model, ctx: PassContext, pins: Mapping[str, Precision]) -> AllocationProblem:
        """Return the allocation problem of a model."""
        setup = quantizer_setup(model.graph, ctx.target)
        costs = _with_pins(
            ctx.get(Costs(self.bits, self.group_size), model), pins, model, ctx, self.group_size
        )
        table = self.sensitivities(model, ctx, costs)
        between = ctx.get(BetweenLayers(), model)
        return build_problem(setup, costs, table, ctx.target, pins, between)

    def sensitivities(self, model: Model, ctx: PassContext, costs: CostTable) -> SensitivityTable:
        """Return losses at exactly the widths that are priced."""
        chosen = find_sensitivity(self.sensitivity)
        pairs = {precision for prices in costs.layers.values() for precision in prices}
        every = {bits for pair in pairs for bits in (pair.weight_bits, pair.act_bits)}
        widths = tuple(sorted(every - {FLOAT_BITS}))
        return ctx.get(chosen(bits=widths), model)

    def _solve(
        self, model: Model, ctx: PassContext, setup: QuantizerSetup, pins: Mapping[str, Precision]
    ) -> PassResult:
        eight, _ = price_plan(model, ctx, uniform_bits(setup, EIGHT, {}))
        minimize = (
            LOSS
            if self.minimize == LOSS
            else _known_metric(ctx.target, self.minimize, ctx.target.metrics & ctx.target.additive)
        )
        problem = self.problem(model, ctx, pins)
        budgets = self.budgets(ctx.target, eight)
        priced = problem.metrics
        problem, budgets, found = self._allocation(model, ctx, problem, budgets, minimize)
        ctx.decisions.append(Decision.of(problem, budgets, minimize, found))
        chosen = [layer.choices[index] for layer, index in zip(problem.layers, found.choices, strict=True)]
        named = {layer.name: choice for layer, choice in zip(problem.layers, chosen, strict=True)}
        bits = {name: Precision(choice.weight_bits, choice.act_bits) for name, choice in named.items()}
        plan = plan_of_bits(setup, bits, {name: choice.loss for name, choice in named.items()})
        plan = with_groups(plan, setup, self.group_size)
        model.plan = replace(plan, constants=model.plan.constants)
        facts: dict[str, float | int | str] = {
            "solver": self.solver,
            "status": found.status,
            "loss": found.loss,
        }
        costs = {metric: found.cost[metric] for metric in priced}
        return PassResult(Aspect.PLAN, _histogram(bits), facts | {"bound": found.bound} | costs)

    def _allocation(
        self, model: Model, ctx: PassContext, problem: AllocationProblem, limits: Sequence[Budget], goal: str
    ) -> Solved:
        """Solve within budgets on sums, and on peak memory, which is none."""

        def solve(asked: AllocationProblem, budgets: Sequence[Budget]) -> Allocation:
            return solver(self.solver).solve(
                asked, budgets, minimize=goal, seed=ctx.seed, time_limit_s=self.time_limit
            )

        sums = [budget for budget in limits if budget.metric != PEAK]
        peaks = [budget.limit for budget in limits if budget.metric == PEAK]
        if not peaks:
            return problem, sums, solve(problem, sums)
        return MemoryBudget.of(model, ctx, problem, min(peaks)).solve(problem, sums, solve)

    def budgets(self, target: HardwareModel, eight: Cost) -> list[Budget]:
        """Return the budgets in the units of the metrics.

        Args:
            target: the machine.
            eight: cost of uniform 8 bits, to which relative budgets refer.
        """
        found = [Budget(LOSS, self.max_loss)] if self.max_loss else []
        for word, text in self._budget_texts().items():
            if text and word != LOSS:
                metric = parse_metric(word)
                request = parse_budget(metric, text)
                name = _known_metric(target, word, supported(target))
                reference = eight.get(metric) if request.relative else 1.0
                found.append(Budget(name, request.value * float(reference or 0.0)))
        return found

    def _budget_texts(self) -> dict[str, str]:
        texts = {field.name.removeprefix("max_"): getattr(self, field.name) for field in fields(self)}
        return {word: texts[word] for word in METRICS} | {LOSS: str(self.max_loss or "")}


def _known_metric(target: HardwareModel, word: str, known: frozenset[Metric]) -> str:
    """Return the name of a metric that a budget, or a solver's objective, may be on."""
    metric = parse_metric(word)
    if metric not in known:
        words = ", ".join(name for name, entry in METRICS.items() if entry in known)
        raise UsageError(f"target {target.name} has no budget on {word}; it has {words}")
    return metric.value


def _with_pins(
    costs: CostTable, pins: Mapping[str, Precision], model: Model, ctx: PassContext, group_size: int
) -> CostTable:
    """Add the prices of pinned precisions outside the widths to choose from."""
    if all(precision in costs.layers[name] for name, precision in pins.items()):
        return costs
    everything = {name: dict(prices) for name, prices in costs.layers.items()}
    eight = uniform_bits(quantizer_setup(model.graph, ctx.target), EIGHT, pins)
    for name, price in price_plan(model, ctx, eight, group_size)[1].items():
        if name in pins:
            everything[name][pins[name]] = price
    return replace(costs, layers=everything)


def _histogram(bits: Mapping[str, Precision]) -> str:
    counts: dict[str, int] = {}
    for precision in bits.values():
        counts[str(precision)] = counts.get(str(precision), 0) + 1
    return "layers: " + ", ".join(f"{count} at {name}" for name, count in sorted(counts.items()))
