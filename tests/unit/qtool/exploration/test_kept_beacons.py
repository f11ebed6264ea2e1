"""Beacons are refined once, also when training is interrupted; a selected point is trained as long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.errors import PlanError
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.transform.assign_scales import AssignScales
from passes.transform.finetune import Finetune
from qtool.exploration import write
from qtool.exploration.kept_beacons import KeptBeacons
from qtool.exploration.run import run_search
from qtool.keywords import search_request

pytest.importorskip("torch", reason="needs the extra train")
PASSES = (AssignScales(), Finetune(steps=10, batch=16, rate=0.05))


def model_with_plan(bits: int = 4) -> Model:
    model = model_from_text("""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,4] x) => (float[N,3] y)
        <float[4,3] w = {0.3, -0.6, 0.9, 1.7, 0.2, -1.3, 0.4, 0.8, -0.1, 0.7, -0.9, 0.5},
         float[3] b = {0.1, 0.2, 0.3}>
        { [head] y = Gemm(x, w, b) }""")
    setup = quantizer_setup(model.graph)
    model.plan = plan_of_bits(setup, {layer.name: Precision(bits, 8) for layer in setup.layers})
    return model


def context(count: int = 128) -> PassContext:
    data = np.random.default_rng(2).standard_normal((count, 4)).astype(np.float32)
    inputs = (InputSpec("x", (None, 4), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), count, None, {"x": data}), inputs, ("x",), None, count, "test")
    ctx = PassContext(load_target("generic"), calibration=dataset, training=dataset, workers=1)
    ctx.observes = AssignScales().observes
    return ctx


def test_a_plan_is_refined_once(tmp_path: Path) -> None:
    kept, steps = KeptBeacons(tmp_path, "digest"), list[int]()
    plans = []
    for _ in range(2):
        ctx = context()
        ctx.progress = lambda stage, done, total: steps.append(done) if stage == "finetune" else None
        plans.append(kept.refined(model_with_plan(), ctx, PASSES))
    assert steps == list(range(1, 11))
    assert plans[0].tensors == plans[1].tensors
    assert plans[0].biases == plans[1].biases


@pytest.mark.parametrize("other", ["digest", "bits", "passes", "data", "seed"])
def test_nothing_else_is_taken_for_it(tmp_path: Path, other: str) -> None:
    KeptBeacons(tmp_path, "one").refined(model_with_plan(), context(), PASSES)
    ctx = context(96 if other == "data" else 128)
    ctx.seed = int(other == "seed")
    passes = (PASSES[0],) if other == "passes" else PASSES
    model = model_with_plan(5 if other == "bits" else 4)
    KeptBeacons(tmp_path, "two" if other == "digest" else "one").refined(model, ctx, passes)
    assert len(list(tmp_path.glob("*/plan.json"))) == 2


def test_training_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    whole = KeptBeacons(tmp_path / "whole", "").refined(model_with_plan(), context(), PASSES)
    kept, steps = KeptBeacons(tmp_path / "kept", ""), list[int]()

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "finetune":
            steps.append(done)
            if len(steps) == 6:
                raise KeyboardInterrupt

    for _ in range(2):
        ctx = context()
        ctx.progress = interrupt
        if not steps:
            with pytest.raises(KeyboardInterrupt):
                kept.refined(model_with_plan(), ctx, PASSES)
        else:
            found = kept.refined(model_with_plan(), ctx, PASSES)
    assert steps == [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10]
    assert found.tensors == whole.tensors
    assert not list((tmp_path / "kept").glob("*.checkpoint"))


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    kept = KeptBeacons(tmp_path, "")
    kept.refined(model_with_plan(), context(), PASSES)
    (path,) = tmp_path.glob("*/plan.json")
    path.write_text(path.read_text()[:-20])
    with pytest.raises(PlanError, match="cannot be read as a plan"):
        kept.refined(model_with_plan(), context(), PASSES)


def test_a_selected_point_is_trained_as_long(
    quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"calib": "calib.npz", "eval": "eval.npz", "train": "train.npz", "beacons": 1, "train_steps": 7}
    request = search_request(quickstart / "digits.onnx", "bitfusion", tmp_path, data | {"select": 0})
    asked: list[Any] = []
    monkeypatch.setattr(write, "run_quantize", lambda point, tell: asked.append(point))
    layers = [{"name": "logits", "weight_bits": 4, "act_bits": 8}]
    write.lower_point(request, {"knee": None, "front": [{"layers": layers}]}, lambda *_: None)
    assert asked[0].train == "train.npz"
    assert 'pin="logits=w4a8"' in asked[0].pipeline
    assert asked[0].pipeline.endswith("finetune{steps=7}")


def test_a_search_trains_its_beacons(quickstart: Path, tmp_path: Path) -> None:
    pytest.importorskip("pymoo", reason="needs the extra search")
    calib, evaluation = quickstart / "digits_calib.npz", quickstart / "digits_eval.npz"
    options = {
        "calib": calib,
        "eval": evaluation,
        "train": calib,
        "samples": 32,
        "sensitivity": "attribution",
    }
    options |= {"solver": "nsga2", "beacons": 1, "train_steps": 2, "bits": "8", "evaluations": 1}
    options |= {"sensitivity": "attribution"}
    request = search_request(quickstart / "digits.onnx", "bitfusion", tmp_path / "out", options)
    stages: list[str] = []
    run = run_search(request, lambda stage, done, total: stages.append(stage), lambda _: None)
    assert run.measured == 1
    assert stages.count("finetune") == 2
    assert len(list((tmp_path / "out").glob("beacons/*/plan.json"))) == 1
