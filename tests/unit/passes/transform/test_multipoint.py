"""Multipoint quantization on small networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.analysis.cost import price_plan
from passes.api import PassContext, PassResult
from passes.errors import ModelError, PreconditionError, UsageError
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.session import Session
from passes.execution.simulator import Simulator
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.pipeline import parse
from passes.transform.multipoint import Multipoint

SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (8, 4, 1, 1), "w4": (8, 5)}
BIAS = ", ".join(["0.1"] * 8)


def network(inner: str = "Relu") -> Model:
    """Dense, depthwise and grouped convolutions, and a product without bias, with random weights."""
    rng = np.random.default_rng(1)
    values = {
        name: rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])) for name, shape in SHAPES.items()
    }
    weights = ", ".join(
        f"float[{','.join(map(str, array.shape))}] {name} = {{{', '.join(f'{v:f}' for v in array.ravel())}}}"
        for name, array in values.items()
    )
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,3,8,8] x) => (float[N,5] y) <{weights}, float[8] b = {{{BIAS}}}> {{
            [dense] a = Conv<pads = [1, 1, 1, 1]>(x, w1, b)
            [clamp] c = {inner}(a)
            [depthwise] d = Conv<group = 8, strides = [2, 2]>(c, w2, b)
            [grouped] e = Conv<group = 2>(d, w3)
            [pool] p = GlobalAveragePool(e)
            [flat] f = Flatten(p)
            [product] y = MatMul(f, w4)
        }}"""
    )


def context(samples: int = 64, target: str = "generic") -> PassContext:
    data = np.random.default_rng(0).standard_normal((samples, 3, 8, 8)).astype(np.float32)
    inputs = (InputSpec("x", (None, 3, 8, 8), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), samples, None, {"x": data}), inputs, ("x",), None, samples, "test")
    return PassContext(load_target(target), calibration=dataset, workers=1)


def planned(bits: int = 3) -> tuple[Model, PassContext]:
    """The network with scales."""
    model, ctx = network(), context()
    setup = quantizer_setup(model.graph, ctx.target)
    model.plan = plan_of_bits(setup, {layer.name: Precision(bits, 8) for layer in setup.layers})
    PassManager(parse("canonicalize,assign-scales")).run(model, ctx)
    return model, ctx


def noise(model: Model, ctx: PassContext) -> float:
    """Noise at the output over the signal."""
    (reference,) = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))
    (found,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.calibration, 1).run(model.plan)
    return float(np.square(found - reference).mean() / reference.var())


def widened(text: str, bits: int = 3) -> tuple[Model, PassContext, PassResult]:
    model, ctx = planned(bits)
    (step,) = parse(text)
    return model, ctx, step.run(model, ctx)


def rows(model: Model) -> dict[str, int]:
    return {name: sum(model.plan.tensors[name].points or ()) for name in SHAPES}


def test_noise_falls_with_the_budget() -> None:
    plain = noise(*planned())
    found = [noise(*widened(f"multipoint{{growth={growth} sweeps=0}}")[:2]) for growth in (1.2, 1.5, 3)]
    assert found[0] < 0.8 * plain
    assert found[1] < found[0]
    assert found[2] < 0.1 * plain


def test_gptq_rounds_the_last_points_anew() -> None:
    model, ctx = planned()
    PassManager(parse("gptq")).run(model, ctx)
    plain = noise(model, ctx)
    model, ctx, _ = widened("multipoint")
    before, points, scales = noise(model, ctx), rows(model), model.plan.tensors["w1"].params
    PassManager(parse("gptq")).run(model, ctx)
    assert noise(model, ctx) < min(before, 0.5 * plain)
    assert rows(model) == points
    several = np.repeat(np.array(model.plan.tensors["w1"].points) > 1, model.plan.tensors["w1"].points)
    found = model.plan.tensors["w1"].params
    assert scales is not None
    assert found is not None
    np.testing.assert_array_equal(found.scale[several], scales.scale[several])


@pytest.mark.parametrize("price", ["macs", "weights"])
def test_growth_is_what_was_allowed(price: str) -> None:
    model, ctx, result = widened(f"multipoint{{growth=1.3 price={price}}}")
    assert 1.15 < result.facts["growth"] <= 1.3
    bits = {name: layer.precision for name, layer in model.plan.layers.items()}
    wide, narrow = (price_plan(model, ctx, bits, points=points)[0] for points in (True, False))
    if price == "macs":
        assert wide.bops / narrow.bops == pytest.approx(result.facts["growth"], abs=1e-9)
    else:
        weights = sum(np.prod(shape) for shape in SHAPES.values())
        held = sum(quant.codes.size for quant in model.plan.tensors.values() if quant.codes is not None)
        left = sum(np.prod(SHAPES[name]) for name, count in rows(model).items() if not count)
        assert (held + left) / weights == pytest.approx(result.facts["growth"], abs=1e-9)


def test_a_threshold_gives_points_only_to_rows_above_it() -> None:
    model, _, result = widened("multipoint{threshold=0.1 growth=9}")
    assert result.facts["rows"] > 0
    _, _, fewer = widened("multipoint{threshold=0.3 growth=9}")
    assert fewer.facts["rows"] < result.facts["rows"]
    untouched, _, none = widened("multipoint{threshold=2 growth=9}")
    assert none.facts == {"layers": 0, "rows": 0, "growth": 1.0}
    assert untouched.plan == planned()[0].plan
    assert set(rows(model).values()) != {0}


def test_another_run_leaves_layers_with_points_alone() -> None:
    model, ctx, _ = widened("multipoint{growth=2}")
    plan = model.plan
    Multipoint(growth=2.0).run(model, ctx)
    assert model.plan == plan


def test_wide_weights_are_left_alone() -> None:
    assert widened("multipoint", bits=5)[2].facts == {"layers": 0}


def test_coefficients_are_powers_of_two_where_scales_are() -> None:
    model, ctx = planned()
    tensors = {
        name: replace(quant, spec=replace(quant.spec, power_of_two=True))
        for name, quant in model.plan.tensors.items()
    }
    model.plan = replace(model.plan, tensors=tensors)
    Multipoint(growth=2.0).run(model, ctx)
    for name, count in rows(model).items():
        quant = model.plan.tensors[name]
        if count and quant.params is not None:
            first = np.cumsum((0, *(quant.points or ())))[:-1]
            ratio = quant.params.scale / np.repeat(quant.params.scale[first], quant.points)
            np.testing.assert_array_equal(np.frexp(ratio)[0], 0.5)


@pytest.mark.parametrize(
    ("key", "value"),
    [("growth", 0.9), ("max-points", 5), ("max-bits", 7), ("threshold", -1.0), ("damping", 2)],
)
def test_options_out_of_range_are_refused(key: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{key} must lie in"):
        parse(f"multipoint{{{key}={value}}}")


def test_without_scales_or_data_it_says_what_is_missing() -> None:
    model, ctx = planned()
    ctx.calibration = None
    with pytest.raises(UsageError, match="multipoint needs calibration data"):
        Multipoint().run(model, ctx)
    tensors = {name: replace(quant, params=None) for name, quant in model.plan.tensors.items()}
    model.plan = replace(model.plan, tensors=tensors)
    with pytest.raises(PreconditionError, match="run assign-scales first"):
        Multipoint().check(model, ctx)


def test_a_layer_whose_input_is_not_finite_is_named() -> None:
    model, good = network("Sqrt"), context()
    setup = quantizer_setup(model.graph, good.target)
    model.plan = plan_of_bits(setup, {layer.name: Precision(3, 8) for layer in setup.layers})
    good.calibration.source.arrays["x"][:] = 0.0
    PassManager(parse("assign-scales")).run(model, good)
    with pytest.raises(ModelError, match="layer depthwise: its input is NaN or infinite"):
        Multipoint().run(model, context())


def test_too_few_samples_are_told() -> None:
    model, _ = planned()
    ctx = context(samples=4)
    Multipoint(vectors=1).run(model, ctx)
    assert any("vectors for" in entry.message for entry in ctx.journal)
