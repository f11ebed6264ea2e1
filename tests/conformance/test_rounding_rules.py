"""Every pass that chooses integers obeys every machine: scales, zero points, biases and codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from hwmodels import HardwareModel, Precision, Rules
from hwmodels.registry import load_target, target_names
from passes.api import PassContext
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import TensorQuant
from passes.ir.setup import QuantizerSetup, quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.ir.weights import quantized_weight
from passes.lowering.bias import bias_codes
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from passes.manager import PassManager
from passes.numerics import PerTensor
from passes.pipeline import parse

SHAPES = {"w1": (6, 3, 3, 3), "w2": (6, 1, 3, 3), "w3": (4, 3, 1, 1), "w4": (5, 4)}
PIPELINES = [
    "assign-scales,bias-correction",
    "assign-scales{weighted},bias-correction",
    "assign-scales{clip=acts},bias-correction",
    "assign-scales{clip=both},bias-correction",
    "assign-scales,gptq",
    "assign-scales,multipoint{growth=2},bias-correction",
    "assign-scales,multipoint{growth=2},gptq",
    "assign-scales,reconstruct{iterations=3 batch=4}",
]
SAMPLES = 24


def strict(**changes: object) -> HardwareModel:
    """The generic machine with further demands."""
    target = load_target("generic")
    return replace(target, arithmetic=replace(target.arithmetic, **changes))


MACHINES = {
    "powers of two": {"power_of_two_scales": True},
    "signed": {"symmetric_acts": True, "symmetric_weights": True},
    "one scale": {"granularities": ("per_tensor",)},
    "short biases": {"bias_bits": 16},
}
MACHINES["all"] = {name: demand for machine in MACHINES.values() for name, demand in machine.items()}
TARGETS = [*target_names(), *MACHINES]


def network() -> Model:
    """Dense, depthwise and grouped convolutions and a product, with biases of several sizes."""
    rng = np.random.default_rng(1)
    values = {name: rng.standard_normal(shape) / np.sqrt(shape[-1]) for name, shape in SHAPES.items()}
    values |= {"b1": np.geomspace(1e-3, 30, 6), "b3": np.zeros(4), "b4": np.linspace(-5, 5, 5)}
    constants = ", ".join(
        f"float[{','.join(map(str, array.shape))}] {name} = {{{', '.join(f'{v:f}' for v in array.ravel())}}}"
        for name, array in values.items()
    )
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,3,6,6] x) => (float[N,5] y) <{constants}> {{
            [dense] a = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
            [clamp] c = Relu(a)
            [depthwise] d = Conv<group = 6>(c, w2)
            [grouped] e = Conv<group = 2>(d, w3, b3)
            [pool] p = GlobalAveragePool(e)
            [flat] f = Flatten(p)
            [product] y = Gemm<transB = 1>(f, w4, b4)
        }}"""
    )


def context(model: Model, target: HardwareModel) -> PassContext:
    data = np.random.default_rng(0).standard_normal((SAMPLES, 3, 6, 6)).astype(np.float32)
    source = ArraySource(("x",), SAMPLES, None, {"x": data})
    dataset = Dataset(source, graph_inputs(model.graph), ("x",), None, SAMPLES, "test")
    return PassContext(target, calibration=dataset, workers=1)


def least(rules: Rules) -> Precision:
    """The narrowest pair of more than one bit that a layer may have."""
    wide = [pair for pair in rules.precisions if min(pair.weight_bits, pair.act_bits) > 1]
    return min(wide or rules.precisions, key=lambda pair: (pair.weight_bits, pair.act_bits))


def violations(model: Model, setup: QuantizerSetup) -> Iterator[str]:
    """Yield what a machine would refuse."""
    for layer in setup.layers:
        rules = setup.rules[layer.name]
        weight, act = (model.plan.tensors[tensor.name] for tensor in (layer.weight, layer.act))
        pair = Precision(weight.spec.format.bits, act.spec.format.bits)
        if rules.precisions and pair not in rules.precisions:
            yield f"{layer.name}: {pair}"
        if "per_channel" not in rules.granularities and not isinstance(weight.spec.granularity, PerTensor):
            yield f"{layer.name}: scales of channels"
        if rules.symmetric_acts and (np.any(act.params.zero_point) or not act.spec.format.signed):
            yield f"{layer.name}: activations with a zero point"
        yield from _numbers(layer.name, rules, weight, act)
        codes, fmt = quantized_weight(layer, weight), weight.spec.format
        if np.any(weight.params.zero_point) or codes.min() < fmt.qmin or codes.max() > fmt.qmax:
            yield f"{layer.name}: codes from {codes.min()} to {codes.max()}"
        bias = bias_codes(layer, model.plan)
        if bias is not None and np.abs(bias).max() >= 2 ** (rules.bias_bits - 1):
            yield f"{layer.name}: a bias of {np.abs(bias).max()}"


def _numbers(name: str, rules: Rules, weight: TensorQuant, act: TensorQuant) -> Iterator[str]:
    for quant in (weight, act):
        mantissa = np.frexp(quant.params.scale)[0]
        if rules.power_of_two_scales and not (mantissa == 0.5).all():
            yield f"{name}: scales {quant.params.scale}"
        if not np.isfinite(quant.params.scale).all():
            yield f"{name}: scales that are no numbers"


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_plans_obey_the_machine(name: str, pipeline: str) -> None:
    if "reconstruct" in pipeline and find_spec("torch") is None:
        pytest.skip("needs torch")
    target = strict(**MACHINES[name]) if name in MACHINES else load_target(name)
    model = network()
    ctx = context(model, target)
    setup = quantizer_setup(model.graph, target)
    model.plan = plan_of_bits(setup, {layer.name: least(setup.rules[layer.name]) for layer in setup.layers})
    PassManager(parse(pipeline)).run(model, ctx)
    assert setup.layers
    assert list(violations(model, setup)) == []
    arithmetic = target.arithmetic
    origin = Origin("test", target.name, arithmetic.rounding, arithmetic.requantization)
    assert emit_qdq(model, setup, Form.QCDQ).graph.node
    assert emit_packed(model, setup, origin).steps
