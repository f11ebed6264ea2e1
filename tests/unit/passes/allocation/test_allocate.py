"""The allocate pass on a model of two layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwmodels import Precision, load_target
from passes.allocation.allocate import Allocate
from passes.analysis.cost import price_plan
from passes.api import Aspect, PassContext
from passes.errors import InfeasibleError, ModelError, UsageError
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text

SAMPLES = 8


@pytest.fixture
def context(model: Model, rng: np.random.Generator) -> PassContext:
    """Bit Fusion, with a few samples."""
    x = rng.standard_normal((SAMPLES, 2)).astype(np.float32)
    source = ArraySource(("x",), SAMPLES, None, {"x": x})
    data = Dataset(source, graph_inputs(model.graph), ("x",), None, SAMPLES, "test")
    return PassContext(load_target("bitfusion"), calibration=data, workers=1)


def allocated(model: Model, ctx: PassContext, **options: Any) -> dict[str, Precision]:
    step = Allocate(**options)
    ctx.observes = step.observes
    assert step.run(model, ctx).wrote is Aspect.PLAN
    return {name: layer.precision for name, layer in model.plan.layers.items()}


def test_without_a_budget_all_layers_are_alike(model: Model, context: PassContext) -> None:
    assert allocated(model, context, uniform="w4a8") == dict.fromkeys(("first", "second"), Precision(4, 8))


def test_a_uniform_plan_needs_no_data(model: Model, ctx: PassContext) -> None:
    assert Allocate().observes == frozenset()
    assert allocated(model, ctx)["first"] == Precision(8, 8)


def test_half_the_size_is_half_the_bits(model: Model, context: PassContext) -> None:
    bits = allocated(model, context, max_size="0.5x")
    assert sum(4 * precision.weight_bits for precision in bits.values()) <= 0.5 * 2 * 4 * 8
    assert {precision.act_bits for precision in bits.values()} == {8}


def test_losses_of_the_choices_are_kept(model: Model, context: PassContext) -> None:
    allocated(model, context, max_size="0.5x")
    assert all(layer.loss is not None and layer.loss > 0 for layer in model.plan.layers.values())


def test_pins_win(model: Model, context: PassContext) -> None:
    bits = allocated(model, context, max_size="0.7x", pin=("first=w8a8", "op:MatMul=w2a4"))
    assert bits == {"first": Precision(8, 8), "second": Precision(2, 4)}


def test_only_the_given_widths_are_chosen(model: Model, context: PassContext) -> None:
    bits = allocated(model, context, max_size="0.7x", bits=(4, 8))
    assert {precision.weight_bits for precision in bits.values()} <= {4, 8}


def test_a_budget_on_memory_is_met(model: Model, context: PassContext) -> None:
    eight, _ = price_plan(model, context, dict.fromkeys(("first", "second"), Precision(8, 8)))
    bits = allocated(model, context, max_memory=f"{eight.peak_memory_bytes - 1:g}B")
    total, _ = price_plan(model, context, bits)
    assert total.peak_memory_bytes < eight.peak_memory_bytes


def test_a_budget_on_memory_that_nothing_meets_says_the_least(model: Model, context: PassContext) -> None:
    with pytest.raises(InfeasibleError, match=r"peak_memory_bytes: the limit is 1, the least .* is 9"):
        allocated(model, context, max_memory="1B")


def test_the_cheapest_plan_within_a_loss(model: Model, context: PassContext) -> None:
    generous = allocated(model, context, minimize="size", max_loss=1e9)
    assert {precision.weight_bits for precision in generous.values()} == {2}
    strict = allocated(model, context, minimize="size", max_loss=1e-3)
    assert sum(p.weight_bits for p in strict.values()) > sum(p.weight_bits for p in generous.values())


@pytest.mark.parametrize("solver", ["ilp", "greedy"])
def test_the_least_that_is_feasible_is_said(model: Model, context: PassContext, solver: str) -> None:
    with pytest.raises(InfeasibleError, match="least"):
        allocated(model, context, max_size="1B", solver=solver)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pin": ("third=w8a8",)}, "third"),
        ({"max_size": "1B", "sensitivity": "attributoin"}, "did you mean attribution"),
        ({"max_size": "0.5x", "solver": "ipl"}, "did you mean ilp"),
        ({"minimize": "memory", "max_loss": 1.0}, "no budget on memory"),
        ({"uniform": "w9a8"}, "bits must be one of"),
    ],
)
def test_options_that_cannot_be_met(
    model: Model, context: PassContext, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        allocated(model, context, **options)


def test_a_model_without_layers_is_refused(ctx: PassContext) -> None:
    text = '<ir_version: 8, opset_import: ["" : 13]> net (float[N] x) => (float[N] y) { y = Erf(x) }'
    with pytest.raises(ModelError, match="nothing can be quantized"):
        allocated(model_from_text(text), ctx)
