"""Weights under training: they start at the plan's codes, and have the gradients of LSQ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from passes.ir.plan import Role, TensorQuant
from passes.numerics import IntFormat, PerChannel, PerGroup, PerTensor, QuantParams, QuantSpec, dequantize

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.lsq_weight import LARGEST_CHANGE, LsqWeight  # noqa: E402

CPU = torch.device("cpu")


def quant_of(scale: list[float], granularity: object = None, bits: int = 3) -> TensorQuant:
    spec = QuantSpec(IntFormat(bits), granularity or PerChannel(0))
    values = np.array(scale if isinstance(spec.granularity, PerChannel) else scale[0], np.float32)
    return TensorQuant(Role.WEIGHT, spec, QuantParams(values, np.zeros(values.shape, np.int32)))


def started(values: list[list[float]], codes: list[list[int]], quant: TensorQuant) -> LsqWeight:
    scale = quant.params.scale
    return LsqWeight(
        np.array(values, np.float32), quant, np.array(codes, np.int8), np.zeros(scale.shape), CPU
    )


def test_it_starts_at_the_codes_however_far_they_are_from_the_weight() -> None:
    quant = quant_of([0.25, 0.5])
    weight = started([[0.1, 0.9], [3.0, -9.0]], [[1, 2], [3, -4]], quant)
    assert weight.codes().tolist() == [[1, 2], [3, -4]]
    assert weight.value().tolist() == [[0.25, 0.5], [1.5, -2.0]]
    assert weight.decision() == quant.with_codes(quant.params, np.array([[1, 2], [3, -4]], np.int8))


def test_gradients_are_those_of_lsq() -> None:
    # In units of the step: 1.2 inside the range of -4..3, and one that is driven beyond it.
    weight = started([[0.3, 0.75]], [[1, 3]], quant_of([0.25]))
    with torch.no_grad():
        weight.latent.copy_(torch.tensor([[1.2, 4.4]]))
    torch.autograd.backward([weight.value().sum()])
    assert weight.latent.grad.tolist() == [[pytest.approx(0.25), 0.0]]
    # By the logarithm of the step: s (round(v) - v) inside, s qmax above.
    assert weight.shift.grad.tolist() == [pytest.approx(0.25 * (1 - 1.2) + 0.25 * 3, rel=1e-5)]


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(1)])
def test_what_is_trained_is_what_is_stored(granularity: object, rng: np.random.Generator) -> None:
    values = rng.standard_normal((3, 4)).astype(np.float32)
    quant = quant_of([0.25] * 4, granularity, bits=2)
    codes = np.clip(np.rint(values / 0.25), -2, 1).astype(np.int8)
    weight = LsqWeight(values, quant, codes, np.zeros(quant.params.scale.shape), CPU)
    with torch.no_grad():
        weight.shift += torch.linspace(-0.4, 0.4, weight.shift.numel()).reshape(weight.shift.shape)
        weight.latent += 0.3
    decision = weight.decision()
    stored = dequantize(decision.codes, decision.spec, decision.params)
    np.testing.assert_array_equal(weight.value().detach().numpy(), stored)


def test_steps_stay_within_reach_and_above_what_the_bias_needs() -> None:
    quant = quant_of([0.25, 0.25])
    weight = LsqWeight(
        np.ones((2, 1), np.float32), quant, np.ones((2, 1), np.int8), np.array([0.125, 0.0]), CPU
    )
    with torch.no_grad():
        weight.shift.copy_(torch.tensor([-9.0, -9.0]))
    assert weight.scale().tolist() == [0.125, 0.25 / LARGEST_CHANGE]
    with torch.no_grad():
        weight.shift.copy_(torch.tensor([9.0, 9.0]))
    assert weight.scale().tolist() == [0.25 * LARGEST_CHANGE] * 2


def test_scales_of_groups_stay(rng: np.random.Generator) -> None:
    values = rng.standard_normal((2, 4)).astype(np.float32)
    spec = QuantSpec(IntFormat(4), PerGroup(1, 2))
    scale = np.array([[0.25, 0.5], [0.5, 0.25]], np.float32)
    quant = TensorQuant(Role.WEIGHT, spec, QuantParams(scale, np.zeros((2, 2), np.int32)))
    weight = LsqWeight(values, quant, np.zeros((2, 4), np.int8), np.zeros((2, 2)), CPU)
    assert list(weight.parameters()) == ["latent"]
    torch.autograd.backward([weight.value().sum()])
    assert weight.latent.grad.tolist() == [[0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 0.25, 0.25]]
    assert weight.decision().params == replace(quant).params
