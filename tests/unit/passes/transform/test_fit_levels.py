"""Levels without training: chosen layers, less error, other passes that leave them alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import Aspect, PassContext
from passes.errors import PreconditionError, UsageError
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import QuantPlan
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.ir.weights import rounded_weight
from passes.manager import PassManager
from passes.pipeline import parse
from passes.transform.fit_levels import FitLevels


@pytest.fixture
def net() -> Model:
    numbers = np.random.default_rng(0).standard_normal(6 * 4 * 9 + 6 * 5)
    first, second = (", ".join(f"{it:.3f}" for it in part) for part in np.split(numbers, [216]))
    return model_from_text(f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,4,5,5] x) => (float[N,5] y)
        <float[6,4,3,3] w1 = {{{first}}}, float[6,5] w2 = {{{second}}}>
        {{ [first] a = Conv(x, w1) [relu] r = Relu(a) [pool] p = GlobalAveragePool(r) [flat] f = Flatten(p)
           [second] y = MatMul(f, w2) }}""")


def context() -> PassContext:
    x = np.random.default_rng(1).standard_normal((64, 4, 5, 5)).astype(np.float32)
    inputs = (InputSpec("x", (None, 4, 5, 5), np.dtype(np.float32)),)
    data = Dataset(ArraySource(("x",), 64, None, {"x": x}), inputs, ("x",), None, 64, "test")
    return PassContext(load_target("generic"), calibration=data, workers=1)


def planned(net: Model, first: int, second: int) -> Model:
    bits = {"first": Precision(first, 8), "second": Precision(second, 4)}
    net.plan = plan_of_bits(quantizer_setup(net.graph), bits)
    PassManager(parse("assign-scales{clip=none}")).run(net, context())
    return net


def error(model: Model, name: str) -> float:
    layer = next(it for it in quantizer_setup(model.graph).layers if it.name == name)
    rounded = rounded_weight(layer, model.plan.tensors[layer.weight_name])
    return float(np.square(rounded - layer.weight_values()).sum())


def test_weights_of_few_bits_get_tables_of_less_error(net: Model) -> None:
    model = planned(net, 2, 6)
    before, kept = error(model, "first"), model.plan.tensors["w2"]
    result = FitLevels().run(model, context())
    assert (result.wrote, result.facts["layers"]) == (Aspect.PLAN, 1)
    assert len(model.plan.tensors["w1"].levels or ()) == 4
    assert error(model, "first") < 0.9 * before
    assert model.plan.tensors["w2"] == kept
    assert [it.precision for it in model.plan.layers.values()] == [Precision(8, 8), Precision(6, 4)]
    assert FitLevels().run(model, context()).wrote is Aspect.NONE


def test_other_passes_keep_tables(net: Model) -> None:
    model = planned(net, 2, 2)
    FitLevels().run(model, context())
    before = {name: model.plan.tensors[name] for name in ("w1", "w2")}
    PassManager(parse("assign-scales,multipoint{max-bits=6}")).run(model, context())
    assert {name: model.plan.tensors[name] for name in before} == before
    PassManager(parse("gptq,bias-correction")).run(model, context())
    for name, quant in before.items():
        rounded = model.plan.tensors[name]
        assert rounded.levels == quant.levels
        assert set(np.unique(rounded.codes)) <= set(quant.levels or ())


def test_what_makes_no_sense_is_refused(net: Model) -> None:
    model = planned(net, 3, 3)
    with pytest.raises(UsageError, match="max-bits must be between 1 and 7, found 8"):
        FitLevels(max_bits=8).check(model, context())
    bare = replace(model.plan.tensors["w1"], params=None)
    model.plan = QuantPlan(model.plan.layers, {"w1": bare})
    with pytest.raises(PreconditionError, match="run assign-scales first"):
        FitLevels().check(model, context())
