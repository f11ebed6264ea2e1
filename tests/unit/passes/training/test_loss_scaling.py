"""Half precision: gradients underflow without scales, and layer-wise scales bring all of them back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.bridge import Bridge  # noqa: E402
from passes.training.half import GradientScales, gradients, in_half  # noqa: E402
from passes.training.half_training import HalfCourse, HalfRun, train_half  # noqa: E402
from passes.training.loss_scaling import Moments, Scaling, adaptive_scales, gradient_moments  # noqa: E402

WEIGHTS = ("w0", "w1", "w2", "w3")
STEPS, BATCH = 60, 64
POSITIONS = 256.0
"""A loss may be a mean over many places, of which few count: its gradients are small."""
Values = dict[str, torch.Tensor]


def spelled(values: np.ndarray) -> str:
    return ", ".join(f"{value:.5f}" for value in values.reshape(-1))


@pytest.fixture(scope="module")
def narrow() -> Model:
    """Layers behind each other; between the first two, activations are 2**11 times as large as elsewhere.

    Their gradients are as much smaller, and come back to their size at the first layer.
    """
    rng = np.random.default_rng(0)
    shapes = ((4, 16), (16, 16), (16, 16), (16, 3))
    weights = [rng.standard_normal(shape) * np.sqrt(2 / shape[0]) for shape in shapes]
    constants = ", ".join(
        f"float[{w.shape[0]},{w.shape[1]}] w{at} = {{{spelled(w)}}}" for at, w in enumerate(weights)
    )
    return model_from_text(f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,4] x) => (float[N,3] y)
        <{constants}, float up = {{2048.0}}, float down = {{0.00048828125}}>
        {{
            [l0] a0 = MatMul(x, w0) [r0] b0 = Relu(a0) [m0] c0 = Mul(b0, up)
            [l1] a1 = MatMul(c0, w1) [r1] b1 = Relu(a1) [m1] c1 = Mul(b1, down)
            [l2] a2 = MatMul(c1, w2) [r2] b2 = Relu(a2)
            [l3] y = MatMul(b2, w3)
        }}""")


def batches(steps: int = STEPS) -> Iterator[tuple[Values, Callable[[Values], torch.Tensor]]]:
    """Points whose class depends on the signs of two sums of their coordinates."""
    rng = np.random.default_rng(1)
    for _ in range(steps):
        x = rng.standard_normal((BATCH, 4)).astype(np.float32)
        classes = torch.from_numpy((x[:, 0] + x[:, 1] > 0).astype(np.int64) + (x[:, 2] > x[:, 3]))

        def loss(results: dict[str, torch.Tensor], classes: torch.Tensor = classes) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(results["y"], classes) / POSITIONS

        yield {"x": torch.from_numpy(x)}, loss


def trained(model: Model, scaling: Scaling | None, **options: Any) -> HalfRun:
    bridge = Bridge.of(model.graph)
    weights = {name: bridge.constants[name] for name in WEIGHTS}
    return train_half(bridge, weights, batches(), HalfCourse(scaling, rate=0.05 * POSITIONS, **options))


def late(run: HalfRun) -> float:
    return float(np.mean(run.losses[-15:]))


def test_numbers_are_held_as_fp16_holds_them() -> None:
    found = in_half(torch.tensor([1.0, 2049.0, 2.0**-24, 2.0**-26, 1e5]))
    assert found.tolist() == [1.0, 2048.0, 2.0**-24, 0.0, float("inf")]


def test_scaled_gradients_have_their_true_size_when_they_come_out(residual: Model) -> None:
    bridge = Bridge.of(residual.graph)
    weights = {name: bridge.constants[name] for name in ("w0", "w1", "w2", "w3")}
    feeds = {"x": torch.from_numpy(np.random.default_rng(0).standard_normal((8, 2, 5, 5)).astype(np.float32))}

    def loss(results: dict[str, torch.Tensor]) -> torch.Tensor:
        return results["y"].square().mean() / 2**20

    _, exact = gradients(bridge, feeds, weights, loss, None)
    moments = gradient_moments(bridge, feeds, weights, loss)
    scales = adaptive_scales(bridge, weights, moments)
    assert len({scales.of(name) for name in moments}) > 1
    errors = []
    for choice in (scales, GradientScales({}, {})):
        _, found = gradients(bridge, feeds, weights, loss, choice)
        apart = [float((found[name] - it).abs().max() / it.abs().max()) for name, it in exact.items()]
        errors.append(max(apart))
    assert errors[0] < 0.02
    assert errors[1] > 0.1


def test_all_scales_are_powers_of_two_and_no_gradient_overflows(narrow: Model) -> None:
    bridge = Bridge.of(narrow.graph)
    weights = {name: bridge.constants[name] for name in WEIGHTS}
    feeds, loss = next(batches())
    moments = gradient_moments(bridge, feeds, weights, loss)
    scales = adaptive_scales(bridge, weights, moments)
    for scale in (*scales.tensors.values(), *scales.layers.values()):
        assert np.frexp(scale)[0] == 0.5
    for name, found in moments.items():
        assert scales.of(name) * found.largest < 65504
        assert scales.of(name) * found.size > 2.0**-24


def test_training_without_scales_stalls_where_adaptive_training_follows_float32(narrow: Model) -> None:
    runs = {scaling: trained(narrow, scaling, fixed=8.0) for scaling in (None, *Scaling)}
    exact = late(runs[None])
    assert exact < 0.5 * runs[None].losses[0]
    assert late(runs[Scaling.NONE]) > 1.5 * exact
    assert abs(late(runs[Scaling.ADAPTIVE]) - exact) < 0.05 * exact
    assert runs[Scaling.ADAPTIVE].skipped == 0
    lost = {scaling: run.lost for scaling, run in runs.items()}
    assert lost[Scaling.NONE] > 0.3
    assert lost[Scaling.FIXED] > 3 * lost[Scaling.ADAPTIVE]
    assert lost[Scaling.ADAPTIVE] < 0.02


def test_the_fp16_of_the_device_stalls_and_recovers_as_the_emulated_one_does(narrow: Model) -> None:
    exact = late(trained(narrow, None))
    runs = {scaling: trained(narrow, scaling, autocast=True, fixed=8.0) for scaling in Scaling}
    emulated = trained(narrow, Scaling.NONE)
    assert runs[Scaling.NONE].lost == pytest.approx(emulated.lost, abs=0.1)
    assert late(runs[Scaling.NONE]) > 1.5 * exact
    for scaling in (Scaling.DYNAMIC, Scaling.ADAPTIVE):
        assert late(runs[scaling]) == pytest.approx(exact, rel=0.05)
        assert runs[scaling].lost < 0.02
    assert runs[Scaling.FIXED].lost > 3 * runs[Scaling.ADAPTIVE].lost


def test_autocast_computes_in_fp16_and_scales_come_out_again(residual: Model) -> None:
    bridge = Bridge.of(residual.graph)
    weights = {name: bridge.constants[name] for name in ("w0", "w1", "w2", "w3")}
    feeds = {"x": torch.from_numpy(np.random.default_rng(0).standard_normal((8, 2, 5, 5)).astype(np.float32))}

    def loss(results: Values) -> torch.Tensor:
        assert results["y"].dtype is torch.float32
        return results["y"].square().mean()

    _, exact = gradients(bridge, feeds, weights, loss, None, autocast=True)
    scales = adaptive_scales(bridge, weights, gradient_moments(bridge, feeds, weights, loss))
    _, found = gradients(bridge, feeds, weights, loss, scales, autocast=True)
    for name, it in exact.items():
        apart = float((found[name] - it).abs().max() / it.abs().max())
        assert 0 < apart < 0.02


def test_rates_may_fall(narrow: Model) -> None:
    still = trained(narrow, None, factor=lambda step: float(step < 1))
    moving = trained(narrow, None)
    assert still.losses[:2] == moving.losses[:2]
    assert late(still) > 2 * late(moving)


def test_scales_may_be_old(narrow: Model) -> None:
    fresh, old = (trained(narrow, Scaling.ADAPTIVE, refresh=every) for every in (1, STEPS))
    assert late(old) == pytest.approx(late(fresh), rel=0.1)


def test_dynamic_scaling_backs_off_from_overflow(narrow: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passes.training.half_training.FIRST_DYNAMIC", 2.0**40)
    run = trained(narrow, Scaling.DYNAMIC)
    assert 0 < run.skipped < STEPS // 2
    assert all(torch.isfinite(weight).all() for weight in run.weights.values())


def test_training_is_the_same_every_time(narrow: Model) -> None:
    first, second = (trained(narrow, Scaling.ADAPTIVE) for _ in range(2))
    assert first.losses == second.losses
    assert replace(first, weights={}) == replace(second, weights={})


def test_moments_of_nothing_are_zero() -> None:
    assert Moments.of(torch.zeros(0)) == Moments(0.0, 0.0)
    assert Moments.of(torch.tensor([3.0, -4.0])) == Moments(pytest.approx(12.5**0.5), 4.0)
