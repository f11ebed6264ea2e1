"""The manager: order, records, stale results, contracts, instruments."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest

from hwmodels import Precision
from passes.api import Analysis, Aspect, Pass, PassContext, PassResult
from passes.errors import PassContractError, PreconditionError, UsageError
from passes.instruments import DumpModels, TimePasses
from passes.ir.model import Model
from passes.ir.plan import LayerBits
from passes.manager import PassManager
from passes.transform.canonicalize import Canonicalize
from passes.transform.equalize import Equalize


@dataclass(frozen=True)
class Write(Pass):
    """Writes the aspects it is told to, and reports others."""

    name: ClassVar[str] = "write"
    really: Aspect = Aspect.NONE
    reported: Aspect = Aspect.NONE
    seen: list[frozenset[str]] = field(default_factory=list, compare=False)

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        self.seen.append(ctx.observes)
        if Aspect.GRAPH in self.really:
            model.graph.nodes[0].name += "_renamed"
        if Aspect.WEIGHTS in self.really:
            model.graph.tensors()["w1"].values = np.zeros((2, 2), np.float32)
        if Aspect.PLAN in self.really:
            model.plan.layers["first"] = LayerBits("Gemm", Precision(4, 4))
        return PassResult(self.reported, "done", {"figure": 1})


@dataclass(frozen=True)
class Watch(Write):
    """Wants statistics."""

    name: ClassVar[str] = "watch"
    observes: ClassVar[frozenset[str]] = frozenset({"means"})


@dataclass(frozen=True)
class Refuse(Write):
    """Is never ready."""

    name: ClassVar[str] = "refuse"

    def check(self, model: Model, ctx: PassContext) -> None:
        raise PreconditionError("refuse: not ready")


@dataclass(frozen=True)
class CountRuns(Analysis[int]):
    name: ClassVar[str] = "count-runs"
    reads: ClassVar[Aspect] = Aspect.WEIGHTS
    runs: list[int] = field(default_factory=list, compare=False)

    def run(self, model: Model, ctx: PassContext) -> int:
        self.runs.append(1)
        return len(self.runs)


def test_every_pass_leaves_a_record(model: Model, ctx: PassContext) -> None:
    records = PassManager((Canonicalize(), Equalize(iterations=3))).run(model, ctx)
    assert [record.text for record in records] == ["canonicalize", "equalize{iterations=3}"]
    assert records[1].wrote is Aspect.WEIGHTS
    assert records[1].facts == {"pairs": 1}
    assert records[1].summary == "1 pairs of layers equalized"
    assert all(0 < record.seconds < 10 for record in records)


def test_no_passes_are_no_records(model: Model, ctx: PassContext) -> None:
    assert PassManager(()).run(model, ctx) == ()


def test_all_passes_announce_their_statistics_before_the_first_runs(model: Model, ctx: PassContext) -> None:
    first = Write()
    ctx.observes = frozenset({"patches"})
    PassManager((first, Watch())).run(model, ctx)
    assert first.seen == [frozenset({"means", "patches"})]


def test_results_computed_for_fewer_statistics_are_dropped(model: Model, ctx: PassContext) -> None:
    analysis = CountRuns()
    ctx.get(analysis, model)
    PassManager((Write(),)).run(model, ctx)
    assert ctx.get(analysis, model) == 1
    PassManager((Watch(),)).run(model, ctx)
    assert ctx.get(analysis, model) == 2


def test_stale_results_fall(model: Model, ctx: PassContext) -> None:
    analysis = CountRuns()
    ctx.get(analysis, model)
    PassManager((Write(Aspect.PLAN, Aspect.PLAN),)).run(model, ctx)
    assert ctx.get(analysis, model) == 1
    PassManager((Write(Aspect.WEIGHTS, Aspect.WEIGHTS),)).run(model, ctx)
    assert ctx.get(analysis, model) == 2


@pytest.mark.parametrize("aspect", [Aspect.GRAPH, Aspect.WEIGHTS, Aspect.PLAN])
def test_an_unreported_write_is_found(aspect: Aspect, model: Model, ctx: PassContext) -> None:
    others = (Aspect.GRAPH | Aspect.WEIGHTS | Aspect.PLAN) & ~aspect
    with pytest.raises(PassContractError, match=f"write wrote {aspect.name} without reporting"):
        PassManager((Write(aspect, others),), verify_each=True).run(model, ctx)


@pytest.mark.parametrize("aspect", [Aspect.NONE, Aspect.GRAPH | Aspect.WEIGHTS | Aspect.PLAN])
def test_a_reported_write_is_accepted(aspect: Aspect, model: Model, ctx: PassContext) -> None:
    records = PassManager((Write(aspect, aspect),), verify_each=True).run(model, ctx)
    assert records[0].wrote is aspect


def test_an_error_keeps_its_type_and_names_the_pass(model: Model, ctx: PassContext) -> None:
    with pytest.raises(PreconditionError) as caught:
        PassManager((Canonicalize(), Refuse())).run(model, ctx)
    assert caught.value.__notes__ == ["in pass 2 of 2, refuse"]
    assert str(caught.value) == "refuse: not ready"


def test_the_run_stops_after_a_pass(model: Model, ctx: PassContext) -> None:
    records = PassManager((Canonicalize(), Write(), Refuse()), stop_after="write").run(model, ctx)
    assert [record.name for record in records] == ["canonicalize", "write"]


def test_stopping_after_a_pass_that_is_not_there_is_refused(model: Model, ctx: PassContext) -> None:
    with pytest.raises(UsageError, match="unknown pass of this pipeline 'lower'"):
        PassManager((Canonicalize(),), stop_after="lower").run(model, ctx)


def test_models_are_dumped_in_order(model: Model, ctx: PassContext, tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    PassManager((Canonicalize(), Equalize()), instruments=(DumpModels(folder),)).run(model, ctx)
    assert sorted(path.name for path in folder.iterdir()) == ["000_canonicalize.onnx", "001_equalize.onnx"]
    onnx.checker.check_model(str(folder / "001_equalize.onnx"), full_check=True)


def test_times_are_told(model: Model, ctx: PassContext) -> None:
    lines: list[str] = []
    PassManager((Canonicalize(), Equalize()), instruments=(TimePasses(lines.append),)).run(model, ctx)
    assert [line.split(" s  ")[1] for line in lines] == [
        "canonicalize: 3 nodes became 3",
        "equalize: 1 pairs of layers equalized",
    ]
