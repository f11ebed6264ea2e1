"""Weights and samples as they should not be: every pass copes, and what comes out is numbers and near."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.errors import ModelError
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.session import Level, Session
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from passes.manager import PassManager
from passes.pipeline import parse
from qtool.runtime import Engine

Arrays = dict[str, np.ndarray]
SHAPES = {
    "w1": (6, 3, 3, 3), "b1": (6,), "w2": (6, 1, 3, 3), "w3": (4, 6, 1, 1), "b3": (4,), "w4": (4, 4, 2, 2),
    "wx": (1, 12, 16), "wh": (1, 12, 4), "w5": (5, 4), "b5": (5,),
}  # fmt: skip
SAMPLES = 24
PIPELINES = [
    "assign-scales,bias-correction",
    "assign-scales{method=kl}",
    "assign-scales{weighted clip=both},bias-correction",
    "assign-scales,gptq",
    "assign-scales,multipoint,gptq",
    "equalize,absorb-bias,split-channels,smooth,assign-scales,gptq",
]


def network(values: Arrays, operator: str = "Relu") -> Model:
    """Convolutions of all kinds, a GRU over the rows of the image, and a product."""
    constants = ", ".join(
        f"float[{','.join(map(str, array.shape))}] {name} = {{{', '.join(f'{v:g}' for v in array.ravel())}}}"
        for name, array in values.items()
    )
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 14]>
        net (float[N,3,6,6] x) => (float[N,5] y)
        <{constants}, int64[1] zero = {{0}}, int64 last = {{-1}}, int64[3] flat = {{4, -1, 16}}> {{
            [dense] a = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
            [clamp] c = {operator}(a)
            [depthwise] d = Conv<group = 6>(c, w2)
            [relu] e = Relu(d)
            [point] f = Conv<strides = [2, 2]>(e, w3, b3)
            [up] g = ConvTranspose<strides = [2, 2]>(f, w4)
            [turn] h = Transpose<perm = [2, 0, 1, 3]>(g)
            [rows] m = Reshape(h, flat)
            [cell] s = GRU<hidden_size = 4>(m, wx, wh)
            [state] t = Gather<axis = 0>(s, last)
            [line] l = Squeeze(t, zero)
            [product] y = Gemm<transB = 1>(l, w5, b5)
        }}"""
    )


def dead_channel(values: Arrays, data: np.ndarray) -> None:
    values["w1"][2], values["b1"][2] = 0.0, -1.0


def silent_row(values: Arrays, data: np.ndarray) -> None:
    values["w3"][1], values["b3"][1] = 0.0, 0.0


def dead_input(values: Arrays, data: np.ndarray) -> None:
    data[:, 1] = 0.0


def constant(values: Arrays, data: np.ndarray) -> None:
    data[:] = 0.5


def nothing(values: Arrays, data: np.ndarray) -> None:
    data[:] = 0.0


def zero_weights(values: Arrays, data: np.ndarray) -> None:
    for name in ("w3", "wh", "w5"):
        values[name][:] = 0.0


def outlier(values: Arrays, data: np.ndarray) -> None:
    data[0, 0, 2, 2] = 1e6


def heavy_weight(values: Arrays, data: np.ndarray) -> None:
    values["w3"][0, 3] = 1e3


def faint_weights(values: Arrays, data: np.ndarray) -> None:
    values["w3"] *= 1e-25


def large_bias(values: Arrays, data: np.ndarray) -> None:
    values["b5"][:] = [1e6, -1e6, 0, 1, 2]


ODD = [
    dead_channel, silent_row, dead_input, constant, nothing, zero_weights, outlier, heavy_weight,
    faint_weights, large_bias,
]  # fmt: skip


def prepared(
    odd: Callable[[Arrays, np.ndarray], None] | None, samples: int = SAMPLES
) -> tuple[Model, PassContext]:
    rng = np.random.default_rng(1)
    values = {name: rng.standard_normal(shape) / np.sqrt(shape[-1]) for name, shape in SHAPES.items()}
    data = rng.standard_normal((samples, 3, 6, 6)).astype(np.float32)
    if odd is not None:
        odd(values, data)
    model = network(values)
    return model, context(model, data)


def context(model: Model, data: np.ndarray) -> PassContext:
    source = ArraySource(("x",), len(data), None, {"x": data})
    dataset = Dataset(source, graph_inputs(model.graph), ("x",), None, len(data), "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def compile_(model: Model, ctx: PassContext, pipeline: str, bits: Precision) -> None:
    """Run a pipeline with a plan from the moment that scales are assigned."""
    for step in parse(f"canonicalize,{pipeline}"):
        if step.name == "assign-scales":
            setup = quantizer_setup(model.graph, ctx.target)
            model.plan = plan_of_bits(setup, {layer.name: bits for layer in setup.layers})
        PassManager((step,)).run(model, ctx)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.__name__)
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_odd_values_are_survived(odd: Callable[[Arrays, np.ndarray], None], pipeline: str) -> None:
    model, ctx = prepared(odd)
    (reference,) = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))
    compile_(model, ctx, pipeline, Precision(4, 8))
    setup = quantizer_setup(model.graph, ctx.target)
    assert {layer.op for layer in setup.layers} == {"Conv", "ConvTranspose", "GRU", "Gemm"}
    (found,) = Session(emit_qdq(model, setup, Form.QCDQ), Level.BASIC, 1).run_all(ctx.calibration.batches(16))
    packed = Engine(emit_packed(model, setup, Origin("test", "generic", "half_even")))
    (codes,) = packed.run({"x": ctx.calibration.source.arrays["x"]}).values()
    limit = (2.0 if odd in (outlier, heavy_weight) else 0.1) * max(np.square(reference).mean(), 1e-6)
    assert np.square(found - reference).mean() < limit
    assert np.square(codes - reference).mean() < limit


@pytest.mark.parametrize("pipeline", ["assign-scales,gptq", "assign-scales,multipoint,gptq"])
def test_one_sample_is_little_and_said(pipeline: str) -> None:
    model, ctx = prepared(None, samples=1)
    (reference,) = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))
    compile_(model, ctx, pipeline, Precision(4, 8))
    setup = quantizer_setup(model.graph, ctx.target)
    (found,) = Session(emit_qdq(model, setup, Form.QCDQ), Level.BASIC, 1).run_all(ctx.calibration.batches(16))
    assert np.square(found - reference).mean() < 0.3 * np.square(reference).mean()
    said = {entry.subject for entry in ctx.journal if "give more" in entry.message}
    assert "product" in said


@pytest.mark.parametrize("pipeline", PIPELINES[:5])
def test_a_layer_that_yields_nan_is_named(pipeline: str) -> None:
    rng = np.random.default_rng(1)
    values = {name: rng.standard_normal(shape) / np.sqrt(shape[-1]) for name, shape in SHAPES.items()}
    model = network(values, "Sqrt")
    ctx = context(model, rng.standard_normal((SAMPLES, 3, 6, 6)).astype(np.float32))
    with pytest.raises(ModelError, match=r"'?(c|d|depthwise)'?.* NaN or infinite on the calibration data"):
        compile_(model, ctx, pipeline, Precision(4, 8))


def test_a_graph_that_pytorch_cannot_run_is_quantized_without_gradients() -> None:
    model = model_from_text(
        """<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,2,5,5] x) => (float[N,2,5,5] y, int64[4,M] n) <float[2,2,1,1] w = {1, 2, 3, 4}>
        { [conv] y = Conv(x, w) [odd] n = NonZero(x) }"""
    )
    ctx = context(model, np.random.default_rng(0).standard_normal((8, 2, 5, 5)).astype(np.float32))
    compile_(model, ctx, "assign-scales,gptq,bias-correction", Precision(2, 8))
    assert model.plan.codes()["w"].shape == (2, 2, 1, 1)
