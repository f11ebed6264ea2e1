"""Weights rounded by data, one layer at a time."""

from __future__ import annotations

import numpy as np
import pytest

from passes.execution.scale_memo import ScaleMemo
from passes.ir.model import Model
from passes.ir.plan import QuantPlan, Role, TensorQuant
from passes.ir.setup import QuantizerSetup, quantizer_setup
from passes.ir.specs import weight_spec
from passes.ir.weights import rounded_weight
from passes.numerics import QuantParams, RangeMethod, gptq
from passes.rounding import local as local_rounding
from passes.rounding.local import LocalRounding


@pytest.fixture
def setup(model: Model) -> QuantizerSetup:
    """A Gemm and a MatMul of two inputs each."""
    return quantizer_setup(model.graph)


@pytest.fixture
def local(rng: np.random.Generator) -> LocalRounding:
    """Both layers saw inputs that move together, with a mean."""
    seen = rng.standard_normal((64, 1, 1, 1)) + 0.05 * rng.standard_normal((64, 1, 1, 2)) + 3
    return LocalRounding(dict.fromkeys(("first", "second"), seen.astype(np.float32)))


def quant_of(setup: QuantizerSetup, index: int, bits: int) -> TensorQuant:
    layer = setup.layers[index]
    spec = weight_spec(layer, bits, setup)
    return TensorQuant(Role.WEIGHT, spec, ScaleMemo().weight(layer, spec, RangeMethod.MSE))


def error(local: LocalRounding, setup: QuantizerSetup, quant: TensorQuant, bias: np.ndarray) -> float:
    """Return the energy of what a rounded first layer adds to its result."""
    layer, x = setup.layers[0], local.patches["first"].reshape(-1, 2).astype(np.float64)
    change = rounded_weight(layer, quant) - layer.weight_values()
    return float(np.square(x @ change + bias - np.asarray(layer.bias.values)).sum())


def test_codes_fit_the_data_better_than_the_nearest(setup: QuantizerSetup, local: LocalRounding) -> None:
    start = quant_of(setup, 0, 2)
    rounded, bias = local.rounded(setup.layers[0], start)
    assert error(local, setup, rounded, bias) < 0.5 * error(local, setup, start, setup.layers[0].bias.values)
    assert (rounded.spec, rounded.params) == (start.spec, start.params)


def test_the_bias_takes_up_the_mean_error(setup: QuantizerSetup, local: LocalRounding) -> None:
    layer = setup.layers[0]
    rounded, bias = local.rounded(layer, quant_of(setup, 0, 2))
    assert bias is not None
    shift = local.mean_error(layer, rounded_weight(layer, rounded))
    np.testing.assert_allclose(bias, layer.bias.values - shift, rtol=1e-5)


def test_a_matmul_has_no_bias(setup: QuantizerSetup, local: LocalRounding) -> None:
    layer = setup.layers[1]
    assert local.rounded(layer, quant_of(setup, 1, 2))[1] is None
    assert local.mean_error(layer, layer.weight_values() + 1) is None


def test_a_weight_is_rounded_once(setup: QuantizerSetup, local: LocalRounding) -> None:
    first = local.rounded(setup.layers[0], quant_of(setup, 0, 3))
    assert local.rounded(setup.layers[0], quant_of(setup, 0, 3)) is first


@pytest.mark.parametrize("room", [local_rounding.CURVATURES, 0])
def test_widths_share_the_factored_moments_of_a_layer_while_there_is_room(
    setup: QuantizerSetup, local: LocalRounding, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    alone = {
        bits: LocalRounding(local.patches).rounded(setup.layers[0], quant_of(setup, 0, bits))
        for bits in (2, 3, 4)
    }
    monkeypatch.setattr(local_rounding, "CURVATURES", room)
    factored = count_calls(monkeypatch, gptq, "_factor")
    for bits, (quant, bias) in alone.items():
        found, found_bias = local.rounded(setup.layers[0], quant_of(setup, 0, bits))
        np.testing.assert_array_equal(found.codes, quant.codes)
        np.testing.assert_array_equal(found_bias, bias)
    assert len(factored) == (1 if room else len(alone))


def count_calls(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> list[object]:
    """Return a list that grows by one with every call of a function."""
    calls, function = [], getattr(module, name)

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(module, name, counted)
    return calls


@pytest.mark.parametrize("case", ["wide", "unseen", "coded"])
def test_what_cannot_be_rounded_stays(case: str, setup: QuantizerSetup, local: LocalRounding) -> None:
    quant = quant_of(setup, 0, 16 if case == "wide" else 4)
    if case == "coded":
        quant = quant.with_codes(quant.params, np.zeros((2, 2), np.int16))
    used = LocalRounding({}) if case == "unseen" else local
    assert used.rounded(setup.layers[0], quant) == (quant, None)


def test_a_plan_gets_codes_and_biases(setup: QuantizerSetup, local: LocalRounding) -> None:
    tensors = {layer.weight_name: quant_of(setup, at, 3) for at, layer in enumerate(setup.layers)}
    found = local.plan(QuantPlan(tensors=tensors), setup)
    assert all(quant.codes is not None for quant in found.tensors.values())
    assert set(found.biases) == {"first"}


def test_other_scales_are_another_question(setup: QuantizerSetup, local: LocalRounding) -> None:
    start = quant_of(setup, 0, 4)
    wider = start.with_params(QuantParams(start.params.scale * 2, start.params.zero_point))
    found = [local.rounded(setup.layers[0], quant)[0] for quant in (start, wider)]
    assert not np.array_equal(found[0].codes, found[1].codes)
