"""The context: results are computed once, fall when what they read is written, and nest."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from typing import ClassVar

import pytest

from passes.api import Analysis, Aspect, PassContext
from passes.errors import ModelError
from passes.ir.model import Model
from passes.transform.equalize import Equalize


@dataclass(frozen=True)
class Inner(Analysis[int]):
    name: ClassVar[str] = "inner"
    reads: ClassVar[Aspect] = Aspect.WEIGHTS
    offset: int = 0
    runs: list[int] = field(default_factory=list, compare=False)

    def run(self, model: Model, ctx: PassContext) -> int:
        self.runs.append(1)
        return len(model.graph.nodes) + self.offset


@dataclass(frozen=True)
class Outer(Analysis[int]):
    name: ClassVar[str] = "outer"
    reads: ClassVar[Aspect] = Aspect.GRAPH
    inner: Inner = field(default_factory=Inner, compare=False)
    runs: list[int] = field(default_factory=list, compare=False)

    def run(self, model: Model, ctx: PassContext) -> int:
        self.runs.append(1)
        return 10 * ctx.get(self.inner, model)


@dataclass(frozen=True)
class Failing(Analysis[int]):
    name: ClassVar[str] = "failing"
    reads: ClassVar[Aspect] = Aspect.PLAN

    def run(self, model: Model, ctx: PassContext) -> int:
        raise ModelError("no")


def test_a_result_is_computed_once(model: Model, ctx: PassContext) -> None:
    analysis = Inner()
    assert [ctx.get(analysis, model), ctx.get(Inner(), model)] == [3, 3]
    assert len(analysis.runs) == 1


def test_what_is_known_is_not_computed(model: Model, ctx: PassContext) -> None:
    analysis = Inner()
    assert ctx.known(analysis) is None
    ctx.get(analysis, model)
    assert ctx.known(Inner()) == 3
    ctx.invalidate(analysis.reads)
    assert ctx.known(analysis) is None
    assert len(analysis.runs) == 1


def test_options_are_part_of_the_key(model: Model, ctx: PassContext) -> None:
    assert [ctx.get(Inner(), model), ctx.get(Inner(offset=1), model)] == [3, 4]


@pytest.mark.parametrize(
    ("wrote", "runs"), [(Aspect.WEIGHTS, 2), (Aspect.GRAPH | Aspect.PLAN, 1), (Aspect.NONE, 1)]
)
def test_a_result_falls_when_what_it_read_is_written(
    wrote: Aspect, runs: int, model: Model, ctx: PassContext
) -> None:
    analysis = Inner()
    ctx.get(analysis, model)
    ctx.invalidate(wrote)
    ctx.get(analysis, model)
    assert len(analysis.runs) == runs


@pytest.mark.parametrize("inner_first", [False, True])
def test_an_outer_result_reads_what_the_inner_one_reads(
    inner_first: bool, model: Model, ctx: PassContext
) -> None:
    outer = Outer()
    if inner_first:
        ctx.get(outer.inner, model)
    assert ctx.get(outer, model) == 30
    ctx.invalidate(Aspect.WEIGHTS)
    ctx.get(outer, model)
    assert len(outer.runs) == 2


def test_an_inner_result_does_not_read_what_the_outer_one_reads(model: Model, ctx: PassContext) -> None:
    outer = Outer()
    ctx.get(outer, model)
    ctx.invalidate(Aspect.GRAPH)
    ctx.get(outer, model)
    assert [len(outer.runs), len(outer.inner.runs)] == [2, 1]


def test_a_failure_leaves_no_trace(model: Model, ctx: PassContext) -> None:
    outer = Outer()
    with pytest.raises(ModelError):
        ctx.get(Failing(), model)
    ctx.get(outer, model)
    ctx.invalidate(Aspect.PLAN)
    ctx.get(outer, model)
    assert len(outer.runs) == 1


def test_random_numbers_follow_from_seed_position_and_name(ctx: PassContext) -> None:
    draws = {
        (name, position): ctx.rng(name, position).integers(1 << 62)
        for name in ("a", "b")
        for position in (0, 1)
    }
    assert len(set(draws.values())) == 4
    assert ctx.rng("a", 1).integers(1 << 62) == draws["a", 1]
    ctx.seed = 1
    assert ctx.rng("a", 1).integers(1 << 62) != draws["a", 1]


def test_the_journal_keeps_its_order(ctx: PassContext) -> None:
    ctx.note("fold-batchnorm", "bn1", "it is in training mode")
    ctx.note("lower", "conv2", "stays float")
    assert [(entry.source, entry.subject) for entry in ctx.journal] == [
        ("fold-batchnorm", "bn1"),
        ("lower", "conv2"),
    ]


def test_a_pass_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Equalize().iterations = 3  # type: ignore[misc]
