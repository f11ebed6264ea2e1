"""The simulator gives what the lowered model gives: to the last bit at the exact level, for any plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwmodels import Precision, load_target
from passes.api import PassContext
from passes.execution.collect import HISTOGRAMS
from passes.execution.dataset import Dataset, graph_inputs, open_dataset
from passes.execution.preprocess import Preprocess
from passes.execution.session import Level, Session
from passes.execution.simulator import Simulator
from passes.ir.model import Model
from passes.ir.onnx_io import read_model
from passes.ir.plan import QuantPlan
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq
from passes.manager import PassManager
from passes.pipeline import parse
from passes.transform.assign_scales import AssignScales

Assign = Callable[[Model, np.ndarray, Precision], Dataset]
Quantize = Callable[..., Model]
Samples = Callable[[str], np.ndarray]
NETS = ("conv", "depthwise", "grouped", "transposed", "pooled", "gemm", "matmul")
CIFAR = "mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
REAL = [
    ("resnet20_cifar10", "cifar10/calib.npz", CIFAR),
    ("kws_dscnn_mlperf", "audio/kws_calib.npz", None),
    ("vit_mnist", "mnist/calib.npz", "mean=0.1307 std=0.3081"),
    ("squeezenet1_1", "imagenet/calib", "imagenet"),
    ("resnet32_cifar10", "cifar10/calib.npz", CIFAR),
    ("resnet20_cifar10_jpegft", "cifar10/calib.npz", CIFAR),
    ("mlperf_resnet8_cifar10", "cifar10/calib.npz", "scale=1 layout=nhwc"),
    ("mobilenet_v2_1.0_224", "imagenet/calib", "tf"),
    ("mobilenet_v1_0.5_160", "imagenet/calib", "resize=183 crop=160 scale=127.5 mean=1"),
    ("yunet_n_dynamic", "imagenet/calib", "order=bgr scale=1"),
    ("fsdd_bigru", "audio/fsdd_calib.npz", None),
    pytest.param("minilm_l6_sst2", "text/sst2_calib.npz", None, marks=pytest.mark.slow),
    pytest.param("stories260k_llama", "text/stories_calib.npz", None, marks=pytest.mark.slow),
]
"""Every float model of the data folder."""


def lowered(model: Model, plan: QuantPlan, form: Form, data: Dataset) -> list[np.ndarray]:
    proto = emit_qdq(replace(model, plan=plan), quantizer_setup(model.graph), form)
    return Session(proto, Level.BASIC, 1).run_all(data.batches(16))


def random_plan(model: Model, ctx: PassContext, rng: np.random.Generator, widest: int = 8) -> QuantPlan:
    setup = quantizer_setup(model.graph)
    acts = {
        name: int(bits)
        for group in setup.groups
        for bits in [rng.integers(2, widest + 1)]
        for name in group.readers
    }
    bits = {
        layer.name: Precision(
            acts[layer.name] if layer.weight is None else int(rng.integers(2, 9)), acts[layer.name]
        )
        for layer in setup.layers
    }
    model.plan = plan_of_bits(setup, bits)
    AssignScales().run(model, ctx)
    return model.plan


@pytest.mark.parametrize("net", NETS)
@given(seed=st.integers(0, 2**31))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exact_runs_equal_the_lowered_model(
    net: str, seed: int, quantized: Quantize, samples: Samples, assigned: Assign
) -> None:
    rng = np.random.default_rng(seed)
    model = quantized(net, 8, 8, seed=seed)
    data = assigned(model, samples(net), Precision(8, 8))
    ctx = PassContext(load_target("generic"), calibration=data, observes=frozenset({HISTOGRAMS}))
    simulator = Simulator(model, quantizer_setup(model.graph), data, threads=1)
    for _ in range(3):
        plan = random_plan(model, ctx, rng)
        for form in (Form.QDQ, Form.QCDQ):
            np.testing.assert_array_equal(
                simulator.run(plan, Level.BASIC)[0], lowered(model, plan, form, data)[0]
            )
    assert simulator.sessions_built == 1


@pytest.mark.parametrize("net", NETS)
def test_integer_kernels_run_the_lowered_model(
    net: str, quantized: Quantize, samples: Samples, assigned: Assign
) -> None:
    model = quantized(net, 4, 6)
    data = assigned(model, samples(net), Precision(4, 6))
    setup = quantizer_setup(model.graph)
    deployed = Session(emit_qdq(model, setup, Form.QCDQ), threads=1).run_all(data.batches(16))
    np.testing.assert_array_equal(Simulator(model, setup, data, threads=1).run(model.plan)[0], deployed[0])


def test_wide_activations_need_one_more_session(
    quantized: Quantize, samples: Samples, assigned: Assign
) -> None:
    narrow, wide = quantized("conv", 4, 8), quantized("conv", 8, 16)
    data = assigned(narrow, samples("conv"), Precision(4, 8))
    simulator = Simulator(narrow, quantizer_setup(narrow.graph), data, threads=1)
    for plan in (narrow.plan, wide.plan, narrow.plan):
        np.testing.assert_array_equal(
            simulator.run(plan, Level.BASIC)[0], lowered(narrow, plan, Form.QDQ, data)[0]
        )
    assert simulator.sessions_built == 2


@pytest.mark.parametrize(("name", "calib", "preprocess"), REAL)
def test_real_networks_agree_to_the_last_bit(
    name: str, calib: str, preprocess: str | None, shared_data: Path
) -> None:
    model = read_model(shared_data / "models" / f"{name}.onnx")
    ctx = PassContext(load_target("generic"), workers=2, observes=frozenset({HISTOGRAMS}))
    steps = Preprocess.parse(preprocess) if preprocess else None
    ctx.calibration = open_dataset(str(shared_data / calib), graph_inputs(model.graph), steps, 4)
    PassManager(parse("canonicalize,fold-batchnorm,equalize")).run(model, ctx)
    simulator = Simulator(model, quantizer_setup(model.graph), ctx.calibration, threads=2)
    rng = np.random.default_rng(0)
    for _ in range(2):
        plan = random_plan(model, ctx, rng)
        proto = emit_qdq(model, quantizer_setup(model.graph), Form.QDQ)
        expected = Session(proto, Level.BASIC, 2).run_all(ctx.calibration.batches(16))
        for found, wanted in zip(simulator.run(plan, Level.BASIC), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert simulator.sessions_built == 1
