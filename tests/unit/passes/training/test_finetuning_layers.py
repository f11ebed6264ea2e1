"""Fine-tuning of layers of other kinds: what is trained is what the lowered model computes."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.dataset import Dataset, InputSpec, graph_inputs
from passes.execution.simulator import Simulator
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.pipeline import parse
from passes.transform.finetune import Finetune

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.simulation import Simulation  # noqa: E402

STEP = Finetune(steps=60, batch=8, rate=0.02, step_rate=0.01, held=0, checks=6)
SAMPLES = 64


def numbers(count: int, seed: int) -> str:
    return ", ".join(f"{value:.4f}" for value in np.random.default_rng(seed).standard_normal(count))


TRANSPOSED = f"""<ir_version: 8, opset_import: ["" : 13]>
    net (float[N,4,3,3] x) => (float[N,3] y)
    <float[4,2,2,2] w = {{{numbers(32, 0)}}}, float[4] b = {{1, 2, 3, 4}},
     float[4,3] v = {{{numbers(12, 1)}}}>
    {{
        [up] a = ConvTranspose <group=2, strides=[2,2]> (x, w, b)
        [relu] r = Relu(a) [pool] p = GlobalAveragePool(r) [flat] f = Flatten(p) [head] y = MatMul(f, v)
    }}"""
FIXED = f"""<ir_version: 8, opset_import: ["" : 13]>
    net (float[4,6] x) => (float[4,3] y)
    <float[6,5] w = {{{numbers(30, 2)}}}, float[5] b = {{{numbers(5, 3)}}},
     float[5,3] v = {{{numbers(15, 4)}}}>
    {{ [first] a = Gemm(x, w, b) [relu] r = Relu(a) [head] y = MatMul(r, v) }}"""
RECURRENT = f"""<ir_version: 8, opset_import: ["" : 13]>
    net (float[N,5,2] x) => (float[N,3] y)
    <float[1,9,2] w = {{{numbers(18, 5)}}}, float[1,9,3] r = {{{numbers(27, 6)}}},
     float[3,3] v = {{{numbers(9, 7)}}}, int64[1] one = {{0}}>
    {{
        [time] t = Transpose <perm=[1,0,2]> (x) [gru] a, h = GRU <hidden_size=3> (t, w, r)
        [flat] f = Squeeze(h, one) [head] y = MatMul(f, v)
    }}"""
CASES = {
    "transposed, in groups": (TRANSPOSED, {}),
    "of fixed batch size": (FIXED, {}),
    "with stored weights and float products": (FIXED, {"first": Precision(3, 32)}),
    "recurrent": (RECURRENT, {}),
}


def context(model: Model) -> PassContext:
    (spec,) = graph_inputs(model.graph)
    shape = (SAMPLES, *[size or 1 for size in spec.shape[1:]])
    data = np.random.default_rng(9).standard_normal(shape).astype(np.float32)
    inputs = (InputSpec("x", spec.shape, np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), SAMPLES, None, {"x": data}), inputs, ("x",), None, SAMPLES, "test")
    return PassContext(load_target("generic"), training=dataset, calibration=dataset, workers=1)


@pytest.mark.parametrize(("text", "bits"), CASES.values(), ids=CASES)
def test_the_loss_of_what_is_lowered_is_the_loss_of_what_was_trained(
    text: str, bits: dict[str, Precision]
) -> None:
    model = model_from_text(text)
    ctx = context(model)
    PassManager(parse("canonicalize")).run(model, ctx)
    setup = quantizer_setup(model.graph, ctx.target)
    model.plan = plan_of_bits(setup, {it.name: bits.get(it.name, Precision(3, 6)) for it in setup.layers})
    PassManager(parse("assign-scales")).run(model, ctx)
    before = model.plan
    PassManager((STEP,), verify_each=True).run(model, ctx)
    assert model.plan != before
    simulation, found = Simulation.of(model, ctx.target), []
    with torch.no_grad():
        for feeds in ctx.training.batches(SAMPLES):
            x = torch.from_numpy(feeds["x"])
            x = simulation.steps["x"](x) if "x" in simulation.steps else x
            (y,) = simulation.bridge.run({"x": x, **simulation.constants}, (), simulation.steps).values()
            found.append(y.numpy())
    (lowered,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.training, 1).run(model.plan)
    # An activation at the edge of its step may fall to either side.
    apart = np.abs(np.concatenate(found) - lowered).max(axis=1)
    assert np.quantile(apart, 0.9) < 1e-3 * np.abs(lowered).max()
