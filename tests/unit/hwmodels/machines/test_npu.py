from __future__ import annotations

import pytest

from hwmodels import Precision, Workload, load_target
from hwmodels.elementwise import Elementwise
from hwmodels.model import PricesElementwise

P8 = Precision(8, 8)


def test_activations_that_fit_stay_in_the_scratchpad() -> None:
    work = Workload.gemm("vector", 1, 4096, 4096)
    model = load_target("hexagon-like")
    assert model.cost(work, P8).latency_s == pytest.approx(10e-6 + 4096 * 4096 / 100e9)
    assert model.cost(work, Precision(4, 16)).latency_s == pytest.approx(10e-6 + 4096 * 4096 / 2 / 100e9)


def test_activations_that_do_not_fit_cross_the_interface() -> None:
    work = Workload.conv("thin", (32, 32), (1, 1), (1024, 1024))
    moved = 2 * 32 * 1024 * 1024 + 32 * 32
    assert load_target("hexagon-like").cost(work, P8).latency_s == pytest.approx(10e-6 + moved / 100e9)


def test_activations_of_sixteen_bits_halve_the_rate_and_narrow_weights_do_not_raise_it() -> None:
    work = Workload.conv("dense", (256, 256), (3, 3), (64, 64))
    model = load_target("hexagon-like")
    products = work.macs / 16384 / 1.37e9
    for text, factor in (("w4a8", 1), ("w8a8", 1), ("w4a16", 2), ("w8a16", 2)):
        assert model.cost(work, Precision.parse(text)).latency_s == pytest.approx(10e-6 + factor * products)


def test_a_conversion_passes_over_the_tensor() -> None:
    model = load_target("hexagon-like")
    assert isinstance(model, PricesElementwise)
    work = Elementwise.conversion("activation", 1_000_000)
    for bits in ((8, 16), (16, 8)):
        assert model.elementwise_cost(work, *bits).latency_s == pytest.approx(10e-6 + 3e6 / 100e9)
