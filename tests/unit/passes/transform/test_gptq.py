"""GPTQ on small networks."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
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

SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (8, 4, 1, 1), "w4": (8, 5)}
BIAS = ", ".join(["0.1"] * 8)
SCALES = "canonicalize,assign-scales"


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


def context(samples: int = 64) -> PassContext:
    """Correlated samples, as images are."""
    rng = np.random.default_rng(0)
    coarse = rng.standard_normal((samples, 3, 4, 4)).repeat(2, axis=2).repeat(2, axis=3)
    data = (coarse + 0.2 * rng.standard_normal((samples, 3, 8, 8))).astype(np.float32)
    inputs = (InputSpec("x", (None, 3, 8, 8), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), samples, None, {"x": data}), inputs, ("x",), None, samples, "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def rounded(
    pipeline: str, bits: int = 3, samples: int = 64, **others: Precision
) -> tuple[Model, PassContext, float]:
    """The network after a pipeline, with its context and the noise at its output over the signal."""
    model, ctx = network(), context(samples)
    for step in parse(pipeline):
        if step.name == "assign-scales":
            setup = quantizer_setup(model.graph, ctx.target)
            uniform = {layer.name: Precision(bits, 8) for layer in setup.layers}
            model.plan = plan_of_bits(setup, uniform | others)
        PassManager((step,)).run(model, ctx)
    (reference,) = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))
    (found,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.calibration, 1).run(model.plan)
    return model, ctx, float(np.square(found - reference).mean() / reference.var())


def deviation(model: Model) -> float:
    """Standard deviation of the result over that of the float network."""
    data = context().calibration
    (reference,) = Session(to_proto(model), threads=1).run_all(data.batches(16))
    setup = quantizer_setup(model.graph, load_target("generic"))
    (found,) = Simulator(model, setup, data, 1).run(model.plan)
    return float(found.std() / reference.std())


def test_it_beats_rounding_to_the_nearest_with_corrected_biases() -> None:
    _, _, plain = rounded(f"{SCALES},bias-correction")
    model, _, noise = rounded(f"{SCALES},gptq")
    assert noise < 0.5 * plain
    codes = model.plan.codes()
    assert {name: values.shape for name, values in codes.items()} == SHAPES
    assert all(values.min() >= -4 and values.max() <= 3 for values in codes.values())


def test_aiming_at_the_float_network_helps_and_so_do_scales() -> None:
    _, _, noise = rounded(f"{SCALES},gptq")
    _, _, own = rounded(f"{SCALES},gptq{{asymmetric=0}}")
    _, _, fixed = rounded(f"{SCALES},gptq{{scales=1 sweeps=0}}")
    assert noise < own
    assert noise < fixed


@pytest.mark.parametrize("bits", [2, 3])
def test_results_deviate_as_far_as_those_of_the_float_network(bits: int) -> None:
    """Noise in what a layer reads shrinks its least squares; so much is given back."""
    narrow = dict.fromkeys(("dense", "depthwise", "grouped", "product"), Precision(8, bits))
    kept = [rounded(f"{SCALES},gptq{{deviation={share}}}", **narrow)[0] for share in (0, 0.5, 1)]
    found = [deviation(model) for model in kept]
    assert found[0] < found[1] < found[2]
    assert abs(found[2] - 1) < 0.5 * abs(found[0] - 1)


def test_biases_are_given_where_there_is_a_place_for_them() -> None:
    model, ctx, _ = rounded(f"{SCALES},gptq,bias-correction")
    assert set(model.plan.biases) == {"dense", "depthwise", "grouped"}
    assert not [entry for entry in ctx.journal if entry.source == "gptq"]


def test_mean_errors_of_layers_that_stay_are_taken_out_once() -> None:
    pipeline = f"{SCALES},gptq{{max-bits=3 mend-bits=0}}"
    alone, _, _ = rounded(pipeline, dense=Precision(4, 8))
    both, _, _ = rounded(f"{pipeline},bias-correction", dense=Precision(4, 8))
    assert alone.plan == both.plan
    assert set(alone.plan.biases) == {"dense", "depthwise", "grouped"}


def test_a_second_run_starts_from_the_biases_of_the_model() -> None:
    once, _, _ = rounded(f"{SCALES},gptq{{scales=1}}")
    twice, _, _ = rounded(f"{SCALES},gptq{{scales=1}},gptq{{scales=1}}")
    assert once.plan == twice.plan


def test_wide_weights_keep_the_nearest_codes() -> None:
    model, _, _ = rounded(f"{SCALES},gptq", bits=8)
    assert not model.plan.codes()
    for options in ("max-bits=8", "max-bits=8 mend-bits=0"):
        model, _, _ = rounded(f"{SCALES},gptq{{{options}}}", bits=8)
        assert model.plan.codes().keys() == SHAPES.keys()


def test_wide_weights_make_up_for_narrow_ones_before_them() -> None:
    model, _, noise = rounded(f"{SCALES},gptq", bits=8, depthwise=Precision(2, 8))
    assert model.plan.codes().keys() == {"w2", "w3", "w4"}
    _, _, alone = rounded(f"{SCALES},gptq{{mend-bits=0}}", bits=8, depthwise=Precision(2, 8))
    assert noise < 0.8 * alone


def test_wide_weights_make_up_for_narrow_activations() -> None:
    model, _, _ = rounded(f"{SCALES},gptq", bits=8, grouped=Precision(8, 3))
    assert model.plan.codes().keys() == {"w3", "w4"}


def test_too_few_samples_are_said_and_do_not_stop_it() -> None:
    model, ctx, _ = rounded(f"{SCALES},gptq", samples=2)
    assert model.plan.codes().keys() == SHAPES.keys()
    found = [entry for entry in ctx.journal if entry.source == "gptq"]
    assert [(entry.subject, entry.message[:22]) for entry in found] == [("product", "2 vectors for 8 inputs")]


def test_it_needs_scales_and_data() -> None:
    model, ctx = network(), context()
    setup = quantizer_setup(model.graph)
    model.plan = plan_of_bits(setup, {layer.name: Precision(4, 8) for layer in setup.layers})
    with pytest.raises(PreconditionError, match="assign-scales"):
        PassManager(parse("gptq")).run(model, ctx)
    PassManager(parse("assign-scales")).run(model, ctx)
    with pytest.raises(UsageError, match="--calib"):
        PassManager(parse("gptq")).run(model, PassContext(ctx.target))


def test_a_layer_that_reads_nan_is_named() -> None:
    model, ctx = network("Sqrt"), context()
    setup = quantizer_setup(model.graph)
    model.plan = plan_of_bits(setup, {layer.name: Precision(4, 8) for layer in setup.layers})
    ok = context()
    ok.calibration.source.arrays["x"][:] = 0.0
    PassManager(parse("assign-scales")).run(model, ok)
    with pytest.raises(ModelError, match="layer depthwise"):
        PassManager(parse("gptq")).run(model, ctx)
