"""What a pass is, what an analysis is, and the context both run in."""

from __future__ import annotations

import time
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hwmodels import HardwareModel
    from passes.ir.model import Model


class Aspect(Flag):
    """The parts of a model that an analysis reads and a pass writes."""

    NONE = 0
    GRAPH = auto()
    """Nodes, tensors, shapes, names."""
    WEIGHTS = auto()
    """Values of constants."""
    PLAN = auto()
    """Decisions beside the graph."""


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did.

    Attributes:
        wrote: every aspect that changed; `Aspect.NONE` when the pass found nothing to do.
        summary: one line for people.
        facts: figures for reports, by name.
    """

    wrote: Aspect
    summary: str
    facts: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pass(ABC):
    """A step of a pipeline; its dataclass fields are its options."""

    name: ClassVar[str]
    """Kebab-case; equal to the entry-point name."""
    observes: ClassVar[frozenset[str]] = frozenset()
    """Activation statistics it will ask for, so that one sweep over the data serves a whole pipeline."""
    keeps_constants: ClassVar[bool] = False
    """It gives constants values that depend on data, and puts them into ``plan.constants``."""
    refines: ClassVar[bool] = False
    """It makes a plan more accurate without changing its cost, and takes long: rough trials go without it."""

    def check(self, model: Model, ctx: PassContext) -> None:  # noqa: B027
        """Raise `passes.errors.PreconditionError` when the model is not ready for this pass."""

    @abstractmethod
    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Edit the model in place and say what was written."""


R_co = TypeVar("R_co", covariant=True)


class Analysis(ABC, Generic[R_co]):
    """A question about a model; the frozen instance is the key under which its answer is cached."""

    name: ClassVar[str]
    reads: ClassVar[Aspect]

    @abstractmethod
    def run(self, model: Model, ctx: PassContext) -> R_co:
        """Compute the answer without changing the model."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Something worth telling about a run: which pass, about what, why."""

    source: str
    subject: str
    message: str


@dataclass
class PassContext:
    """What passes and analyses may use besides the model.

    Attributes:
        target: the machine that prices the work.
        calibration: samples for statistics; ``None`` when none were given.
        evaluation: held-out samples, read only by measured accuracy budgets.
        training: samples to learn from, with labels or without; ``None`` when none were given.
        shapes: of inputs, by name, at which work is priced; empty for those of the first calibration sample.
        seed: root of every random choice.
        workers: threads for ONNX Runtime; 0 leaves the choice to it.
        segment_bytes: constants of the float model that are in memory at a time while it runs over the
            calibration data; 0 for all.
        observes: union of the statistics wanted by all passes of the pipeline.
        journal: refusals and remarks, in order.
        decisions: what allocations have solved, in order; each a `passes.allocation.decision.Decision`.
        progress: called with (stage, done, total) by long loops.
        seconds: wall-clock time that each analysis took by itself, nested analyses excluded.
    """

    target: HardwareModel
    calibration: Any = None
    evaluation: Any = None
    training: Any = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seed: int = 0
    workers: int = 0
    segment_bytes: int = 0
    observes: frozenset[str] = frozenset()
    journal: list[JournalEntry] = field(default_factory=list)
    decisions: list[Any] = field(default_factory=list)
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None
    seconds: dict[str, float] = field(default_factory=dict)
    _cache: dict[Analysis[Any], tuple[Aspect, Any]] = field(default_factory=dict, repr=False)
    _reading: list[Aspect] = field(default_factory=list, repr=False)

    def get(self, analysis: Analysis[R_co], model: Model) -> R_co:
        """Return an analysis' result, computing it once.

        A nested `get` hands what it reads to the analysis around it, on a cache hit as well, so that the
        outer result falls whenever an inner one would.
        """
        if analysis not in self._cache:
            self._reading.append(analysis.reads)
            before, start = sum(self.seconds.values()), time.perf_counter()
            try:
                result = analysis.run(model, self)
            finally:
                read = self._reading.pop()
            nested = sum(self.seconds.values()) - before
            spent = time.perf_counter() - start - nested
            self.seconds[analysis.name] = self.seconds.get(analysis.name, 0.0) + spent
            self._cache[analysis] = (read, result)
        read, result = self._cache[analysis]
        if self._reading:
            self._reading[-1] |= read
        return cast("R_co", result)

    def known(self, analysis: Analysis[R_co]) -> R_co | None:
        """Return an analysis' result where it is still good, without computing anything."""
        found = self._cache.get(analysis)
        return None if found is None else cast("R_co", found[1])

    def put(self, analysis: Analysis[Any], result: object) -> None:
        """Hand in the result of an analysis that was run elsewhere, on the same model."""
        self._cache[analysis] = (analysis.reads, result)

    def invalidate(self, wrote: Aspect) -> None:
        """Forget every result that read an aspect which was written."""
        self._cache = {key: (read, result) for key, (read, result) in self._cache.items() if not read & wrote}

    def rng(self, name: str, position: int = 0) -> np.random.Generator:
        """Return the random generator of a pass, from the seed, its position and its name."""
        return np.random.default_rng([self.seed, position, zlib.crc32(name.encode())])

    def note(self, source: str, subject: str, message: str) -> None:
        """Write a line into the journal."""
        self.journal.append(JournalEntry(source, subject, message))
