"""`PassManager`: runs a pipeline over a model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from hwmodels.errors import HardwareError
from passes.api import Aspect
from passes.errors import PassContractError, QtoolError, unknown_name
from passes.fingerprint import Fingerprint
from passes.instruments import PassRecord
from passes.pipeline import to_text

if TYPE_CHECKING:
    from passes.api import Pass, PassContext, PassResult
    from passes.instruments import Instrument
    from passes.ir.model import Model

_LOG = logging.getLogger("qtool.passes")
_EVERYTHING = Aspect.GRAPH | Aspect.WEIGHTS | Aspect.PLAN


@dataclass(frozen=True, slots=True)
class PassManager:
    """A pipeline and how to run it.

    Attributes:
        passes: the pipeline.
        verify_each: find out what each pass really wrote and compare it with what it reported.
        instruments: told about every pass, in this order.
        stop_after: name of the last pass to run, ``None`` for all; the first of this name ends the run.
    """

    passes: tuple[Pass, ...]
    verify_each: bool = False
    instruments: tuple[Instrument, ...] = ()
    stop_after: str | None = None

    def run(self, model: Model, ctx: PassContext) -> tuple[PassRecord, ...]:
        """Run the pipeline on a model, in place.

        Results of analyses that a pass made stale are dropped after it.

        Returns:
            One record per pass that ran, in order.

        Raises:
            UsageError: no pass of the pipeline is called `stop_after`.
            PreconditionError: the model is not ready for a pass.
            PassContractError: with `verify_each`, a pass wrote an aspect that it did not report.
            QtoolError: whatever a pass raises; a note names the pass.
        """
        names = [step.name for step in self.passes]
        if self.stop_after is not None and self.stop_after not in names:
            raise unknown_name("pass of this pipeline", self.stop_after, names)
        count = len(names) if self.stop_after is None else names.index(self.stop_after) + 1
        _announce(self.passes, ctx)
        return tuple(self._step(position, model, ctx) for position in range(count))

    def _step(self, position: int, model: Model, ctx: PassContext) -> PassRecord:
        step = self.passes[position]
        for instrument in self.instruments:
            instrument.before(position, step, model)
        start = perf_counter()
        try:
            result = self._run(step, model, ctx)
        except (QtoolError, HardwareError) as error:
            error.add_note(f"in pass {position + 1} of {len(self.passes)}, {to_text([step])}")
            raise
        seconds = perf_counter() - start
        ctx.invalidate(result.wrote)
        record = PassRecord(step.name, to_text([step]), result.summary, result.facts, result.wrote, seconds)
        _LOG.info("%s: %s (%.2f s)", record.text, record.summary, seconds)
        for instrument in self.instruments:
            instrument.after(position, record, model)
        return record

    def _run(self, step: Pass, model: Model, ctx: PassContext) -> PassResult:
        before = Fingerprint.of(model) if self.verify_each else None
        step.check(model, ctx)
        result = step.run(model, ctx)
        if before is not None:
            unreported = before.changed(Fingerprint.of(model)) & ~result.wrote
            if unreported:
                raise PassContractError(
                    f"pass {step.name} wrote {unreported.name} without reporting it; "
                    "add it to PassResult.wrote, or results of analyses go stale"
                )
        return result


def _announce(passes: tuple[Pass, ...], ctx: PassContext) -> None:
    """Tell the context which statistics the pipeline will want, so that the data are read once."""
    wanted = frozenset().union(*(step.observes for step in passes))
    if not wanted <= ctx.observes:
        # Results of an earlier pipeline lack what this one observes on top.
        ctx.invalidate(_EVERYTHING)
        ctx.observes |= wanted
