"""Quantizers with gradients: equal to the numerics of the compiler, and with the gradients of the papers."""

from __future__ import annotations

import numpy as np
import pytest

from passes.ir.plan import Role, TensorQuant
from passes.numerics import IntFormat, PerChannel, QuantParams, QuantSpec, dequantize, fake_quantize, quantize

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.biases import ShiftedBias  # noqa: E402
from passes.training.latent import LatentRounding  # noqa: E402
from passes.training.rounding import SoftRounding  # noqa: E402
from passes.training.steps import LARGEST_CHANGE, StepQuantizer  # noqa: E402
from passes.training.straight_through import Dropping  # noqa: E402

CPU = torch.device("cpu")


def weight_quant(bits: int = 4) -> TensorQuant:
    scales = np.array([0.25, 0.5], np.float32)
    spec = QuantSpec(IntFormat(bits), PerChannel(0))
    return TensorQuant(Role.WEIGHT, spec, QuantParams(scales, np.zeros(2, np.int32)))


def act_quant(scale: float = 0.125, zero: int = 3) -> TensorQuant:
    spec = QuantSpec(IntFormat(4, signed=False), symmetric=False)
    return TensorQuant(Role.ACT, spec, QuantParams(np.float32(scale), np.int32(zero)))  # type: ignore[arg-type]


def started(values: np.ndarray, quant: TensorQuant, codes: np.ndarray | None = None) -> SoftRounding:
    nearest = quantize(values, quant.spec, quant.params)
    rounding = SoftRounding(values, quant, nearest if codes is None else codes, CPU)
    rounding.learn()
    return rounding


def test_rounding_starts_at_the_nearest_codes(rng: np.random.Generator) -> None:
    values, quant = rng.standard_normal((2, 500)).astype(np.float32) * 2, weight_quant()
    rounding = started(values, quant)
    np.testing.assert_array_equal(rounding.codes(), quantize(values, quant.spec, quant.params))
    np.testing.assert_array_equal(rounding.hard().numpy(), fake_quantize(values, quant.spec, quant.params))


def test_soft_weights_start_near_the_float_ones(rng: np.random.Generator) -> None:
    values, quant = rng.uniform(-1.4, 1.4, (2, 200)).astype(np.float32), weight_quant()
    error = np.abs(started(values, quant).soft().detach().numpy() - values)
    assert error.max() <= 0.02 * 0.5


def test_rounding_starts_at_given_codes_and_may_move_towards_the_value() -> None:
    values, quant = np.array([[0.3], [0.9]], np.float32), weight_quant()
    codes = np.array([[2], [1]], np.int8)
    rounding = started(values, quant, codes)
    np.testing.assert_array_equal(rounding.codes(), codes)
    with torch.no_grad():
        rounding.logits.copy_(torch.tensor([[-9.0], [9.0]]))
    np.testing.assert_array_equal(rounding.codes(), [[1], [2]])


def test_codes_stay_inside_the_format() -> None:
    values, quant = np.array([[9.0], [-9.0]], np.float32), weight_quant()
    rounding = started(values, quant)
    assert rounding.codes().tolist() == [[7], [-8]]
    with torch.no_grad():
        rounding.logits.copy_(torch.tensor([[9.0], [-9.0]]))
    assert rounding.codes().tolist() == [[7], [-8]]
    assert rounding.soft().detach().reshape(-1).tolist() == [1.75, -4.0]


@pytest.mark.parametrize(("logit", "expected"), [(0.0, 1.0), (9.0, 0.0), (-9.0, 0.0)])
def test_the_regularizer_is_zero_where_all_is_decided(logit: float, expected: float) -> None:
    rounding = started(np.zeros((2, 3), np.float32), weight_quant())
    with torch.no_grad():
        rounding.logits.fill_(logit)
    assert float(rounding.undecided(2.0).detach()) == pytest.approx(expected)


def test_gradients_pass_through_soft_rounding() -> None:
    rounding = started(np.full((2, 1), 0.125, np.float32), weight_quant())
    with torch.no_grad():
        rounding.logits.zero_()
    torch.autograd.backward([rounding.soft().sum()])
    # d/dv of 1.2 sigmoid(v) at 0 is 0.3, times the scale.
    assert rounding.logits.grad.reshape(-1).tolist() == pytest.approx([0.3 * 0.25, 0.3 * 0.5])


@pytest.mark.parametrize("learning", [False, True])
def test_steps_equal_fake_quantize_to_the_last_bit(rng: np.random.Generator, learning: bool) -> None:
    x, quant = rng.standard_normal(4000).astype(np.float32), act_quant()
    step = StepQuantizer(quant, CPU)
    if learning:
        step.learn()
    found = step(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, fake_quantize(x, quant.spec, quant.params), rtol=0, atol=1e-7)
    with torch.no_grad():
        exact = step(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(exact, fake_quantize(x, quant.spec, quant.params))


def test_the_step_has_the_gradient_of_lsq() -> None:
    step = StepQuantizer(act_quant(0.125, 3), CPU)
    step.learn()
    x = torch.tensor([-9.0, 0.3, 9.0])
    torch.autograd.backward([step(x).sum()])
    # Below: -3 steps; inside: round(2.4) - 2.4; above: 12 steps; times the step, as its logarithm is learned.
    assert float(step.shift.grad) == pytest.approx((-3 + (2 - 2.4) + 12) * 0.125, rel=1e-5)


def test_elements_that_stay_are_not_rounded_and_have_the_gradient_of_the_identity() -> None:
    step = StepQuantizer(act_quant(0.125, 3), CPU)
    step.learn()
    x = torch.tensor([[-9.0, 0.3, 9.0], [0.3, 0.3, 0.3]], requires_grad=True)
    found = step(x, torch.tensor([1.0, 0.0, 0.0]))
    assert found.tolist() == [[-9.0, 0.25, 1.5], [pytest.approx(0.3), 0.25, 0.25]]
    torch.autograd.backward([found.sum()])
    assert x.grad.tolist() == [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    # Of what is rounded: three times round(2.4) - 2.4 inside, 12 steps above.
    assert float(step.shift.grad) == pytest.approx((3 * (2 - 2.4) + 12) * 0.125, rel=1e-5)


def test_masks_take_their_share_and_come_from_the_seed() -> None:
    x = torch.zeros(4, 50, 40)
    draws = [Dropping(0.25, np.random.default_rng(seed), CPU).mask(x) for seed in (0, 0, 1)]
    assert draws[0].shape == (50, 40)
    assert float(draws[0].mean()) == pytest.approx(0.25, abs=0.04)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert Dropping(0.0, np.random.default_rng(0), CPU).mask(x) is None


def test_a_mask_may_be_larger_than_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passes.training.straight_through.POOL", 8)
    mask = Dropping(0.5, np.random.default_rng(0), CPU).mask(torch.zeros(2, 5, 40))
    assert mask.shape == (5, 40)
    assert 0.3 < float(mask.mean()) < 0.7


def test_latent_values_start_at_given_codes_and_reach_the_next_ones() -> None:
    values, quant = np.array([[0.3], [0.9]], np.float32), weight_quant()
    codes = np.array([[2], [7]], np.int8)
    weight = LatentRounding(values, quant, codes, CPU)
    weight.learn()
    np.testing.assert_array_equal(weight.codes(), codes)
    assert weight.soft().tolist() == weight.hard().tolist() == [[0.5], [3.5]]
    torch.autograd.backward([weight.soft().sum()])
    assert weight.latent.grad.tolist() == [[0.25], [0.5]]
    with torch.no_grad():
        weight.latent.copy_(torch.tensor([[-9.0], [9.0]]))
    np.testing.assert_array_equal(weight.codes(), [[1], [7]])
    with torch.no_grad():
        weight.latent.copy_(torch.tensor([[9.0], [-9.0]]))
    np.testing.assert_array_equal(weight.codes(), [[3], [6]])


def test_gradients_reach_what_is_not_clipped() -> None:
    x = torch.tensor([-9.0, 0.3, 9.0], requires_grad=True)
    torch.autograd.backward([StepQuantizer(act_quant(), CPU)(x).sum()])
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("shift", "expected"), [(0.0, 0.125), (0.1, 0.140625), (9.0, 0.1875), (-9.0, 0.0859375)]
)
def test_a_learned_step_is_a_short_scale_within_bounds(shift: float, expected: float) -> None:
    step = StepQuantizer(act_quant(), CPU)
    step.learn()
    with torch.no_grad():
        step.shift.fill_(shift)
    step.settle()
    decision = step.decision()
    assert float(decision.params.scale) == expected  # type: ignore[union-attr]
    assert 0.125 / LARGEST_CHANGE * 0.9 < expected < 0.125 * LARGEST_CHANGE * 1.1
    assert int(decision.params.zero_point) == 3  # type: ignore[union-attr]
    x = np.linspace(-2, 4, 1000, dtype=np.float32)
    found = step(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, fake_quantize(x, decision.spec, decision.params), atol=1e-7)


def test_a_bias_moves_by_units_and_is_used_in_whole_steps() -> None:
    bias = ShiftedBias(
        torch.tensor([1.0, 2.0]), 0.5, lambda: torch.tensor([0.5, 4.0]), StepQuantizer(act_quant(), CPU)
    )
    bias.learn()
    with torch.no_grad():
        bias.shift.copy_(torch.tensor([2.1, 0.6]))
    assert bias.numbers() == pytest.approx((2.05, 2.3))
    # Steps of the accumulators are 0.125 * 0.5 and 0.125 * 4.
    assert bias.value().tolist() == [2.0625, 2.5]
    torch.autograd.backward([bias.value().sum()])
    assert bias.shift.grad.tolist() == [0.5, 0.5]


def test_codes_in_a_plan_are_what_is_lowered() -> None:
    quant = weight_quant()
    codes = np.array([[1], [2]], np.int8)
    chosen = quant.with_codes(quant.params, codes)  # type: ignore[arg-type]
    assert dequantize(chosen.codes, chosen.spec, chosen.params).tolist() == [[0.25], [1.0]]  # type: ignore[arg-type]
    assert chosen.with_params(quant.params).codes is None  # type: ignore[arg-type]
