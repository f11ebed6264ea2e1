"""Plans tried for `--max-drop`: measured roughly while there are many, and as they are delivered when few."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from passes.allocation.allocate import Allocate
from passes.api import Aspect
from passes.errors import LoweringError
from passes.execution.joined import joined
from passes.execution.metrics import choose_metric, drop_between
from passes.execution.session import Level
from passes.execution.simulator import Simulator
from passes.ir.float_layers import fitted
from passes.ir.setup import quantizer_setup
from passes.manager import PassManager
from passes.rounding.local import LocalRoundings
from passes.search.measurer import FIRST_LOOK, SHARES, upper_bound
from qtool.lowering import lower_forms
from qtool.runners import PackedRunner, run_all
from qtool.runtime import open_engine

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from hwmodels import Precision
    from passes.api import Pass, PassContext
    from passes.instruments import PassRecord
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from qtool.request import QuantizeRequest

Bits = tuple[tuple[str, "Precision"], ...]


@dataclass(frozen=True)
class Trial:
    """A plan and what was measured of it.

    Attributes:
        plan: with scales, and codes where data have rounded weights.
        records: of the passes that led to it.
        drop: metric of the float model less that of the plan, as a fraction; infinite where it cannot be run.
    """

    plan: QuantPlan
    records: tuple[PassRecord, ...]
    drop: float

    @property
    def bits(self) -> Bits:
        """Precisions by layer: what tells one plan from another."""
        return tuple((name, layer.precision) for name, layer in self.plan.layers.items())


class Trials:
    """Makes plans of given loss and measures them; plans of the same bits are measured once."""

    def __init__(
        self, request: QuantizeRequest, rest: tuple[Pass, ...], model: Model, ctx: PassContext
    ) -> None:
        """Prepare.

        Args:
            request: metric, forms and the drop allowed.
            rest: the passes after the allocation.
            model: as the allocation finds it.
            ctx: with evaluation data.
        """
        self._request, self._rest, self._model, self._ctx = request, rest, model, ctx
        self._allowed = request.max_drop or 0.0
        self._metric = choose_metric(request.metric, ctx.evaluation.labels, request.label_offset)
        self._truth = ctx.evaluation.truth(self._metric)
        self._simulator = self._prepared()
        self._reference = self._simulator.reference()
        self._known: dict[tuple[Bits, bool], Trial] = {}
        self.refines = any(step.refines for step in rest)
        self.rough_runs, self.exact_runs = 0, 0

    def rough(self, allocate: Allocate) -> Trial:
        """Measure a plan on integer kernels, its weights rounded by data layer by layer.

        Hopeless plans are given up early, with the drop on the samples that were run.
        """
        return self._trial(allocate, exact=False)

    def exact(self, allocate: Allocate) -> Trial:
        """Measure a plan after all passes, on what the Q/DQ model computes."""
        return self._trial(allocate, exact=True)

    def within(self, trial: Trial, margin: float = 0.0) -> bool:
        """Tell whether the drop of a trial is allowed, or would be if it were so much larger."""
        return trial.drop + margin <= self._allowed

    def packed_within(self, trial: Trial) -> bool:
        """Tell whether the artifact of a plan, if one is asked for and exists, stays within the drop too."""
        if "packed" not in self._request.forms:
            return True
        lowered = lower_forms(replace(self._model, plan=trial.plan), self._ctx.target, ("packed",))
        if lowered.packed is None:
            return True
        engine = open_engine(lowered.packed, threads=self._ctx.workers)[0]
        runner = PackedRunner(engine, self._ctx.workers)
        (outputs,) = run_all([runner], self._ctx.evaluation, self._ctx.progress)
        return self._drop(outputs) <= self._allowed

    def _trial(self, allocate: Allocate, *, exact: bool) -> Trial:
        records = PassManager((allocate,)).run(self._model, self._ctx)
        bits = Trial(self._model.plan, (), 0.0).bits
        if (bits, exact) not in self._known:
            records += self._finish() if exact else self._roughly()
            drop = self._measured(exact=exact)
            self._known[bits, exact] = Trial(self._model.plan, records, drop)
        return self._known[bits, exact]

    def _finish(self) -> tuple[PassRecord, ...]:
        self.exact_runs += 1
        records = PassManager(self._rest).run(self._model, self._ctx)
        if any(record.wrote & (Aspect.GRAPH | Aspect.WEIGHTS) for record in records):
            # A pass after the allocation changed what the simulator was prepared for.
            self._simulator = self._prepared()
        return records

    def _roughly(self) -> tuple[PassRecord, ...]:
        """Run the other passes, with weights rounded layer by layer in the place of those that refine."""
        self.rough_runs += 1
        model, ctx = self._model, self._ctx
        for step in self._rest:
            if step.refines:
                setup = fitted(quantizer_setup(model.graph, ctx.target), model.plan)
                model.plan = ctx.get(LocalRoundings(), model).plan(model.plan, setup)
            else:
                PassManager((step,)).run(model, ctx)
        return ()

    def _measured(self, *, exact: bool) -> float:
        try:
            return self._drop(self._simulator.run(self._model.plan, Level.BASIC)) if exact else self._look()
        except LoweringError as error:
            self._ctx.note("max-drop", "allocation", f"a plan cannot be lowered: {error}")
            return float("inf")

    def _look(self) -> float:
        """Run batch by batch, up to the point from which the drop cannot be allowed any more."""
        batches: list[list[NDArray[Any]]] = []
        done, look, early = 0, FIRST_LOOK, self._ctx.evaluation.even
        for outputs in self._simulator.stream(self._model.plan):
            batches.append(outputs)
            done += len(outputs[0]) if early else 0
            if done < look or self._metric.name not in SHARES:
                continue
            look *= 2
            drop = self._drop(joined(batches), done)
            before = self._value(self._reference, done)
            if upper_bound(before - drop, done) < before - self._allowed:
                return drop
        return self._drop(joined(batches))

    def _drop(self, outputs: list[NDArray[Any]], count: int | None = None) -> float:
        """Return how far the metric lies below that of the float model on the first samples, or on all."""
        return drop_between(self._value(self._reference, count), self._value(outputs, count))

    def _value(self, outputs: list[NDArray[Any]], count: int | None) -> float:
        truth = None if self._truth is None else self._truth[:count]
        first = [array[:count] for array in outputs]
        return self._metric(first, [array[:count] for array in self._reference], truth)

    def _prepared(self) -> Simulator:
        setup = quantizer_setup(self._model.graph, self._ctx.target)
        return Simulator(self._model, setup, self._ctx.evaluation, self._ctx.workers)
