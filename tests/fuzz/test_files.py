"""Damaged files of every kind that qtool reads: used or refused in words, quickly, in little memory.

QTOOL_FUZZ=10000 runs so many cases of each kind in place of the few hundred that every run has.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from mutations import changed_values, damaged

from hwmodels import HardwareError, Precision, load_target
from hwmodels.testing import SAMPLES
from passes.allocation import AllocationProblem, solver
from passes.api import PassContext
from passes.artifact import Artifact
from passes.errors import QtoolError
from passes.execution.dataset import InputSpec, open_dataset
from passes.execution.npz_stream import NpzStream
from passes.execution.preprocess import Preprocess
from passes.interchange.aimet import from_aimet
from passes.interchange.encodings import read_json
from passes.interchange.ort_overrides import from_overrides
from passes.interchange.planned import plan_from_encodings
from passes.ir.onnx_io import read_model, to_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq
from passes.search.cache import EvaluationCache
from passes.search.point import Evaluation
from passes.transform.canonicalize import Canonicalize
from passes.transform.fold_batchnorm import FoldBatchNorm
from qtool.layer_list import read_layers
from qtool.prepared import prepare
from qtool.runtime import Engine

CASES = int(os.environ.get("QTOOL_FUZZ", "500"))
SECONDS, BYTES = 10, 2 << 30
Use = Callable[[Path], None]


def use_model(path: Path) -> None:
    model = read_model(path)
    ctx = PassContext(load_target("generic"))
    for step in (Canonicalize(), FoldBatchNorm()):
        step.run(model, ctx)
    quantizer_setup(model.graph)
    to_proto(model)


def use_plan(path: Path) -> None:
    model = read_model(path.parent / "net.onnx")
    target = prepare(model, path)
    emit_qdq(model, quantizer_setup(model.graph, target), Form.QDQ)


def use_encodings(path: Path) -> None:
    read = from_aimet if path.name == "model.encodings" else from_overrides
    plan_from_encodings(read_model(path.parent / "net.onnx"), read(read_json(path), str(path)))


def use_problem(path: Path) -> None:
    problem = AllocationProblem.load(path)
    solver("greedy").solve(problem, [], minimize="loss", seed=0, time_limit_s=1.0)


def use_target(path: Path) -> None:
    target = load_target(str(path))
    for work in SAMPLES:
        for precision in (*target.precisions(work)[:2], Precision(8, 8)):
            target.cost(work, target.round_up(work, precision))


def use_data(path: Path) -> None:
    spec = InputSpec("x", (None, 2, 6, 6), np.dtype(np.float32))
    for _ in open_dataset(str(path), (spec,)).batches(4):
        pass
    with NpzStream(path, ["x"]) as stream:
        list(stream.batches(2))


def use_folder(path: Path) -> None:
    channels = 2 if path.suffix == ".pb" else 3
    spec = InputSpec("x", (None, channels, None, None), np.dtype(np.float32))
    list(open_dataset(str(path.parent), (spec,), Preprocess.parse("scale=255")).batches(2))


def use_artifact(path: Path) -> None:
    artifact = Artifact.load(path)
    Engine(artifact).run({name: np.ones((1, 2, 6, 6), np.float32) for name in artifact.inputs})


def use_layers(path: Path) -> None:
    for work in read_layers(path):
        load_target("bitfusion").cost(work, Precision(8, 8))


def use_cache(path: Path) -> None:
    cache = EvaluationCache(path)
    cache.get("d" * 64, "plan 1")
    cache.put("d" * 64, "a new plan", Evaluation(0.25, 10))
    cache.close()


KINDS: dict[str, tuple[str, Use, bool]] = {
    "model": ("net.onnx", use_model, False),
    "model with a branch": ("branch.onnx", use_model, False),
    "artifact": ("out/model.qpk", use_artifact, False),
    "plan": ("out/plan.json", use_plan, True),
    "constants of a plan": ("out/plan.safetensors", use_plan, False),
    "problem": ("problem.json", use_problem, True),
    "aimet": ("aimet/model.encodings", use_encodings, True),
    "overrides": ("ort-overrides/overrides.json", use_encodings, True),
    "target": ("target.toml", use_target, False),
    "samples": ("x.npz", use_data, False),
    "test data": ("input_0.pb", use_folder, False),
    "picture": ("picture.png", use_folder, False),
    "layers": ("layers.csv", use_layers, False),
    "cache": ("cache.sqlite", use_cache, False),
}
"""File, who reads it, and whether it is JSON."""


@contextmanager
def limited() -> Iterator[None]:
    """Fail when a case takes longer than it may, or leaves a peak of memory above what it may have."""

    def late(*_: object) -> None:
        raise AssertionError(f"still running after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < BYTES


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_used_or_refused_in_words(
    real: Path, tmp_path: Path, repository: Path, kind: str
) -> None:
    name, use, is_json = KINDS[kind]
    source = repository / "hwmodels/specs/bitfusion.toml" if name == "target.toml" else real / name
    whole, rng = source.read_bytes(), np.random.default_rng(0)
    place = tmp_path / "case"
    outcomes = {"used": 0, "refused": 0}
    for case in range(CASES):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        path = neighbours(real, place, name)
        data = changed_values(whole, rng) if is_json and case % 2 else damaged(whole, rng)
        (place / Path(name).name).write_bytes(data)
        files = sorted(it.name for it in place.iterdir())
        with limited():
            outcomes[outcome(use, path)] += 1
        if kind != "cache":
            assert sorted(it.name for it in place.iterdir()) == files
    # A damaged cache is set aside.
    assert outcomes["used" if kind == "cache" else "refused"] > CASES / 50


def outcome(use: Use, path: Path) -> str:
    """Return whether a file was used or refused; any other exception is a bug."""
    try:
        use(path)
    except (QtoolError, HardwareError) as error:
        in_words = error.exit_code in (2, 3) and 10 < len(str(error)) < 5000
        return "refused" if in_words else repr(error)
    return "used"


def neighbours(real: Path, place: Path, name: str) -> Path:
    """Put the whole files beside a damaged one that belong to it; return the path that is to be read."""
    if "plan" in name or "encodings" in name or "overrides" in name:
        shutil.copy(real / "net.onnx", place)
    if name == "out/plan.safetensors":
        shutil.copy(real / "out/plan.json", place)
        return place / "plan.json"
    return place / Path(name).name
