"""Measured sensitivities against direct runs of the changed network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from passes.analysis.bit_planes import BitPlanes, BitPlaneTable
from passes.analysis.changes import log_probabilities
from passes.analysis.names import SENSITIVITIES, find_sensitivity
from passes.analysis.one_at_a_time import OneAtATime, affordable
from passes.analysis.orthogonality import Orthogonality, SizeOnly
from passes.analysis.output_kl import OutputKl
from passes.analysis.output_sqnr import OutputSqnr
from passes.analysis.pairwise import Pairwise
from passes.analysis.places import empty_planes, without_planes
from passes.api import PassContext
from passes.errors import UsageError
from passes.execution.collect import HISTOGRAMS, PATCHES, CollectActivations
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.ranges import act_params, weight_params
from passes.execution.session import Level, Session
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import to_proto
from passes.ir.plan import Role, TensorQuant
from passes.ir.setup import quantizer_setup
from passes.ir.specs import act_spec, weight_spec
from passes.ir.weights import rounded_weight
from passes.numerics import RangeMethod, fake_quantize
from passes.rounding.local import LocalRoundings

SAMPLES = 32


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    """Inputs."""
    return rng.standard_normal((SAMPLES, 2)).astype(np.float32)


@pytest.fixture
def calibrated(ctx: PassContext, model: Model, x: np.ndarray) -> PassContext:
    """A context whose calibration data are the inputs."""
    source = ArraySource(("x",), SAMPLES, None, {"x": x})
    ctx.calibration = Dataset(source, graph_inputs(model.graph), ("x",), None, SAMPLES, "test")
    ctx.observes, ctx.workers = frozenset({HISTOGRAMS, PATCHES}), 1
    return ctx


def outputs_with(model: Model, calibrated: PassContext, x: np.ndarray, bits: dict[str, int]) -> np.ndarray:
    """Run the float model with the weights of some layers rounded by data in the file, and their biases."""
    setup, proto = quantizer_setup(model.graph), to_proto(model)
    slots = {init.name: init for init in proto.graph.initializer}
    for layer in setup.layers:
        if layer.name in bits and layer.weight is not None:
            spec = weight_spec(layer, bits[layer.name], setup)
            quant = TensorQuant(Role.WEIGHT, spec, weight_params(layer.weight_values(), spec))
            found, bias = calibrated.get(LocalRoundings(), model).rounded(layer, quant)
            changed = {layer.weight.name: rounded_weight(layer, found)}
            if bias is not None and layer.bias is not None:
                changed[layer.bias.name] = bias
            for name, values in changed.items():
                slots[name].CopyFrom(numpy_helper.from_array(values, name))
    onnx.checker.check_model(proto)
    return Session(proto, Level.BASIC, 1).run({"x": x})[0]


def noise(model: Model, calibrated: PassContext, x: np.ndarray, bits: dict[str, int]) -> float:
    changed, exact = (outputs_with(model, calibrated, x, these) for these in (bits, {}))
    return float(np.square(changed - exact).sum())


def test_staged_runs_find_the_noise_of_rounded_weights(
    model: Model, calibrated: PassContext, x: np.ndarray
) -> None:
    found = calibrated.get(OneAtATime((2, 4), SAMPLES), model)
    for name in ("first", "second"):
        for bits in (2, 4):
            direct = noise(model, calibrated, x, {name: bits})
            assert found.weights[name, bits].noise == pytest.approx(direct, rel=1e-3, abs=1e-9)
    assert found.samples == SAMPLES


def test_staged_runs_find_the_noise_of_a_rounded_input(
    model: Model, calibrated: PassContext, x: np.ndarray
) -> None:
    found = calibrated.get(OneAtATime((3,), SAMPLES), model)
    setup = quantizer_setup(model.graph)
    spec = act_spec(3, setup)
    stats = calibrated.get(CollectActivations(), model)
    params = act_params(setup.group_of()["x"], spec, stats, RangeMethod.MSE)
    direct = outputs_with(model, calibrated, fake_quantize(x, spec, params), {}) - outputs_with(
        model, calibrated, x, {}
    )
    assert found.acts["x", 3].noise == pytest.approx(float(np.square(direct).sum()), rel=1e-3)


def test_pairs_and_singles_make_the_loss_of_both(
    model: Model, calibrated: PassContext, x: np.ndarray
) -> None:
    table = calibrated.get(Pairwise((2, 3), SAMPLES), model)
    assert table.metric == "kl"
    assert table.entries == (("first", 2), ("first", 3), ("second", 2), ("second", 3))
    old = log_probabilities(outputs_with(model, calibrated, x, {}))
    new = log_probabilities(outputs_with(model, calibrated, x, {"first": 2, "second": 3}))
    chosen = np.array([1.0, 0.0, 0.0, 1.0])
    direct = (np.exp(old) * (old - new)).sum() / SAMPLES
    assert chosen @ table.matrix @ chosen == pytest.approx(direct, rel=1e-3)
    np.testing.assert_array_equal(table.matrix, table.matrix.T)
    assert table.matrix[0, 1] == 0


@pytest.mark.parametrize("name", SENSITIVITIES)
def test_every_name_gives_losses_that_fall_with_bits(
    name: str, model: Model, calibrated: PassContext
) -> None:
    if name == "fisher":
        pytest.importorskip("torch", reason="the extra train is not installed")
    table = calibrated.get(find_sensitivity(name)(bits=(2, 8)), model)
    for layer in ("first", "second"):
        assert table.loss(layer, 2, 2) > table.loss(layer, 8, 8) >= 0
        assert set(table.weights[layer]) & set(table.acts[layer]) >= {2, 8}


@pytest.mark.parametrize("kind", [OneAtATime, Pairwise, Orthogonality])
def test_without_data_nothing_is_measured(kind: type, model: Model, ctx: PassContext) -> None:
    ctx.calibration = None
    with pytest.raises(UsageError, match="calibration data"):
        ctx.get(kind(), model)


def test_planes_are_dropped_from_the_magnitude() -> None:
    codes = np.array([-128, -127, -5, 0, 5, 127], np.int8)
    assert without_planes(codes, 0).tolist() == codes.tolist()
    assert without_planes(codes, 2).tolist() == [-128, -124, -4, 0, 4, 124]


def test_empty_planes_are_those_above_the_largest_code_of_a_channel() -> None:
    # Codes up to 127, 31 and 0: none, two and seven of seven planes are empty.
    weight = np.array([[127.0, 1.0], [-31.0, 2.0], [0.0, 0.0]], np.float32)
    assert empty_planes(weight, 0) == pytest.approx((0 + 2 + 7) / 3)


def test_bit_planes_report_what_is_free(model: Model, calibrated: PassContext) -> None:
    table = calibrated.get(BitPlanes(bits=(4, 8), samples=SAMPLES), model)
    assert isinstance(table, BitPlaneTable)
    assert set(table.to_json()["empty_planes"]) == {"first", "second"}


def test_divergence_and_noise_come_from_the_same_runs(model: Model, calibrated: PassContext) -> None:
    calibrated.get(OutputSqnr((4,), SAMPLES), model)
    spent = calibrated.seconds["one-at-a-time"]
    calibrated.get(OutputKl((4,), SAMPLES), model)
    assert calibrated.seconds["one-at-a-time"] == spent


def test_the_control_knows_no_layers(model: Model, calibrated: PassContext) -> None:
    table = calibrated.get(SizeOnly((2, 8)), model)
    assert table.weights["first"] == table.weights["second"] == {2: 6.0, 8: 0.0}


def test_more_runs_afford_fewer_samples() -> None:
    assert affordable(820, 250) == 24
    assert affordable(10**6, 250) == 16
    assert affordable(1, 250) == 256


def test_a_sensitivity_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SENSITIVITIES, "fisher", "package_that_is_missing.fisher:Fisher")
    with pytest.raises(UsageError, match=r"needs package_that_is_missing.*qtool\[train\]"):
        find_sensitivity("fisher")
