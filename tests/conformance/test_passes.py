"""Every built-in pass keeps the promises of `passes.api.Pass`; the kit finds passes that do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes import registry
from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PassContractError
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.pipeline import parse
from passes.testing import check_pass

SAMPLES = 16
TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N,2,4,4] x) => (float[N,3] y)
<float[2,2,1,1] w1 = {1.0, 0.5, -0.7, 2.0}, float[2] gamma = {2.0, 0.5}, float[2] beta = {0.1, -0.2},
 float[2] mean = {0.3, 0.1}, float[2] var = {1.5, 0.7},
 float[2,2,1,1] w2 = {0.2, -0.4, 3.0, 1.1}, float[2] b2 = {0.5, 0.1},
 float[2,3] w3 = {0.3, -0.6, 0.9, 1.7, 0.2, -1.3}, float[3] b3 = {0.1, 0.2, 0.3}>
{
    [first] c = Conv(x, w1)
    [norm] n = BatchNormalization(c, gamma, beta, mean, var)
    [relu] r = Relu(n)
    [copy] i = Identity(r)
    [second] d = Conv(i, w2, b2)
    [third] e = Conv(d, w2)
    [pool] p = GlobalAveragePool(e)
    [flat] f = Flatten(p)
    [product] m = MatMul(f, w3)
    [sum] y = Add(m, b3)
}
"""
PREPARATION = {
    "canonicalize": "",
    "fold-batchnorm": "canonicalize",
    "equalize": "canonicalize,fold-batchnorm",
    "absorb-bias": "canonicalize,fold-batchnorm",
    "split-channels": "canonicalize,fold-batchnorm",
    "split-norms": "canonicalize,fold-batchnorm",
    "smooth": "canonicalize,fold-batchnorm",
    "allocate": "canonicalize,fold-batchnorm",
    "assign-scales": "canonicalize,fold-batchnorm",
    "fit-levels": "canonicalize,fold-batchnorm,assign-scales",
    "multipoint": "canonicalize,fold-batchnorm,assign-scales",
    "gptq": "canonicalize,fold-batchnorm,assign-scales",
    "bias-correction": "canonicalize,fold-batchnorm,assign-scales{weights=minmax}",
    "reconstruct": "canonicalize,fold-batchnorm,assign-scales",
    "distill": "canonicalize,fold-batchnorm,assign-scales",
    "ddq": "canonicalize,fold-batchnorm,assign-scales",
    "amed": "canonicalize,fold-batchnorm,assign-scales",
    "bsq": "canonicalize,fold-batchnorm,assign-scales",
    "msq": "canonicalize,fold-batchnorm,assign-scales",
    "finetune": "canonicalize,fold-batchnorm,assign-scales",
    "lower": "canonicalize,fold-batchnorm,assign-scales",
}
"""What must have run before each pass."""
OPTIONS = {
    "multipoint": "{growth=2}",
    "reconstruct": "{iterations=30 batch=8}",
    "distill": "{iterations=30 rate=0.05}",
    "ddq": "{steps=30 batch=8 gate-rate=0.2 max-size=0.3x}",
    "amed": "{steps=30 batch=8 metric=size alpha=0.01}",
    "bsq": "{steps=30 batch=8 strength=3}",
    "msq": "{steps=30 batch=8 rounds=3 max-size=0.5x}",
    "finetune": "{steps=30 rate=0.05 batch=8}",
}
EXTRA = dict.fromkeys(("reconstruct", "distill", "ddq", "amed", "bsq", "msq", "finetune"), "torch")
"""Packages that come with an extra."""
SAME_OUTPUTS = ("canonicalize", "fold-batchnorm", "equalize", "split-norms", "smooth", "split-channels")


def context() -> PassContext:
    """A context with random samples."""
    data = np.random.default_rng(0).standard_normal((SAMPLES, 2, 4, 4)).astype(np.float32)
    inputs = (InputSpec("x", (None, 2, 4, 4), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), SAMPLES, None, {"x": data}), inputs, ("x",), None, SAMPLES, "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def prepared(pipeline: str) -> Callable[[], Model]:
    """A factory of models after a pipeline, with 4-bit weights from the moment that scales are assigned."""

    def make() -> Model:
        model = model_from_text(TEXT)
        for step in parse(pipeline):
            if step.name == "assign-scales":
                plan(model)
            PassManager((step,), verify_each=True).run(model, context())
        return model

    return make


def plan(model: Model) -> Model:
    """Give every layer 4-bit weights and 8-bit activations."""
    setup = quantizer_setup(model.graph)
    model.plan = plan_of_bits(setup, {layer.name: Precision(4, 8) for layer in setup.layers})
    return model


@pytest.mark.parametrize("name", [name for name, _ in registry.BUILTIN])
def test_builtin_passes_conform(name: str) -> None:
    if name in EXTRA:
        pytest.importorskip(EXTRA[name])
    make = prepared(PREPARATION[name])
    factory = (lambda: plan(make())) if name == "assign-scales" else make
    (step,) = parse(name + OPTIONS.get(name, ""))
    check_pass(step, factory, context, same_outputs=name in SAME_OUTPUTS)


@dataclass(frozen=True)
class Silent(Pass):
    """Writes a weight and says nothing."""

    name: ClassVar[str] = "silent"

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        weight = model.graph.tensors()["w1"]
        weight.values = weight.values * 2
        return PassResult(Aspect.NONE, "nothing")


@dataclass(frozen=True)
class Boastful(Pass):
    """Reports what it did not do."""

    name: ClassVar[str] = "boastful"

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        return PassResult(Aspect.PLAN, "everything")


@dataclass(frozen=True)
class Moody(Pass):
    """Does something else every time."""

    name: ClassVar[str] = "moody"
    runs: ClassVar[list[int]] = []

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        self.runs.append(1)
        weight = model.graph.tensors()["w1"]
        weight.values = weight.values * np.float32(1 + len(self.runs))
        return PassResult(Aspect.WEIGHTS, "something")


@dataclass(frozen=True)
class Destructive(Pass):
    """Leaves a node without an input."""

    name: ClassVar[str] = "destructive"

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        model.graph.nodes[2].inputs.clear()
        return PassResult(Aspect.GRAPH | Aspect.WEIGHTS, "ruin")


class Undecorated(Boastful):
    """Has an option that no dataclass knows."""

    name: ClassVar[str] = "Not_Kebab"
    option: int = 3


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Silent(), "it reported nothing but wrote WEIGHTS"),
        (Boastful(), "it reported PLAN but wrote nothing"),
        (Moody(), "the same input gave two different results"),
        (Destructive(), "the graph is not valid ONNX afterwards"),
        (Undecorated(), "not decorated with @dataclass"),
        (Undecorated(), "its name is not kebab-case"),
    ],
    ids=lambda value: value.name if isinstance(value, Pass) else "",
)
def test_a_broken_promise_is_found(step: Pass, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {step.name: type(step)})
    with pytest.raises(PassContractError, match=message):
        check_pass(step, prepared(""), context)


def test_changed_outputs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {"silent": Silent})
    with pytest.raises(PassContractError, match="output 0 changed by"):
        check_pass(Silent(), prepared(""), context, same_outputs=True)


def test_a_pass_must_be_registered() -> None:
    with pytest.raises(PassContractError, match="unknown pass 'silent'"):
        check_pass(Silent(), prepared(""), context)


def test_another_class_under_the_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {"silent": type("Silent", (Silent,), {})})
    with pytest.raises(PassContractError, match="another class is registered under its name"):
        check_pass(Silent(), prepared(""), context)
