"""Networks of the data folder: the native engine has the bits of the reference, in its planned memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwmodels import Precision, load_target
from passes.analysis.schedule import ActivationLives
from passes.api import PassContext
from passes.artifact import Artifact
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import read_model
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.packed import Origin, emit_packed
from passes.manager import PassManager
from passes.numerics import RangeMethod
from passes.pipeline import parse
from passes.transform.assign_scales import AssignScales
from qtool.runtime import Engine
from qtool.runtime.native import is_built
from qtool.runtime.native_engine import NativeEngine

pytestmark = [
    pytest.mark.needs_data,
    pytest.mark.slow,
    pytest.mark.skipif(not is_built(), reason="the native kernels are not built"),
]
MODELS = (
    "resnet20_cifar10",
    "mlperf_resnet8_cifar10",
    "kws_dscnn_mlperf",
    "squeezenet1_1",
    "mobilenet_v2_1.0_224",
)
WIDTHS = {"8/8": (8,), "mixed": (4, 8, 2, 6)}
Packed = tuple[Artifact, dict[str, np.ndarray], int]


@pytest.fixture
def packed(shared_data: Path) -> Callable[[str, str, str], Packed]:
    """An artifact with its widths in turn, an input, and the activation memory that the schedule predicts."""

    def make(name: str, widths: str, rule: str) -> Packed:
        model = read_model(shared_data / "models" / f"{name}.onnx")
        ctx = PassContext(load_target("generic"))
        PassManager(parse("canonicalize,fold-batchnorm")).run(model, ctx)
        feeds = samples(model)
        setup = quantizer_setup(model.graph, ctx.target)
        bits = WIDTHS[widths]
        pairs = [Precision(bits[index % len(bits)], 8) for index in range(len(setup.layers))]
        model.plan = plan_of_bits(
            setup, {it.name: pair for it, pair in zip(setup.layers, pairs, strict=True)}
        )
        names = tuple(feeds)
        source = ArraySource(names, 2, None, feeds)
        ctx.calibration = Dataset(source, graph_inputs(model.graph), names, None, 2, "random")
        AssignScales(method=RangeMethod.MINMAX, weights=RangeMethod.MINMAX).run(model, ctx)
        lives = ctx.get(ActivationLives(), model)
        groups = {group.name: 8 for group in setup.groups}
        artifact = emit_packed(model, setup, Origin("test", "generic", "half_even", rule))
        return artifact, feeds, lives.at(groups).peak_bytes()

    return make


def samples(model: Model) -> dict[str, np.ndarray]:
    """Two random samples of every input."""
    rng = np.random.default_rng(0)
    return {
        spec.name: rng.normal(0, 1, [2, *(extent or 1 for extent in spec.shape[1:])]).astype(np.float32)
        for spec in graph_inputs(model.graph)
    }


@pytest.mark.parametrize("rule", ["exact", "float", "fixed_point"])
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("name", MODELS)
def test_networks_have_the_bits_of_the_reference(
    name: str, widths: str, rule: str, packed: Callable[[str, str, str], Packed]
) -> None:
    artifact, feeds, _ = packed(name, widths, rule)
    reference, native = Engine(artifact), NativeEngine(artifact, threads=2)
    found = native.trace(feeds)
    for tensor, codes in reference.trace(feeds).items():
        np.testing.assert_array_equal(found[tensor], codes, err_msg=tensor, strict=True)
    for output, values in reference.run(feeds).items():
        np.testing.assert_array_equal(native.run(feeds)[output], values, strict=True)


@pytest.mark.parametrize("name", ["resnet20_cifar10", "mobilenet_v2_1.0_224"])
def test_the_arena_is_what_the_schedule_predicts(
    name: str, packed: Callable[[str, str, str], Packed]
) -> None:
    artifact, feeds, predicted = packed(name, "8/8", "exact")
    engine = NativeEngine(artifact)
    engine.run({tensor: array[:1] for tensor, array in feeds.items()})
    assert engine.peak_bytes == pytest.approx(predicted, rel=0.05)
