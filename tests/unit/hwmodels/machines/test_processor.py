from __future__ import annotations

import pytest

from hwmodels import FLOAT, Metric, Precision, UnsupportedError, Workload, load_target
from hwmodels.elementwise import Elementwise
from hwmodels.model import PricesElementwise

P8 = Precision(8, 8)


def test_a_convolution_is_products_and_epilogue() -> None:
    # 3,136 rows fill 523 blocks of 6; 64 columns and a depth of 576 are full.
    work = Workload.conv("dense", (64, 64), (3, 3), (56, 56))
    cycles = 523 * 6 * 64 * 576 / 60.8 + 3136 * 64 * 0.31
    cost = load_target("x86-avx512-vnni").cost(work, P8)
    assert cost.latency_s == pytest.approx(1e-6 + cycles / 3.67e9)
    assert cost.cycles == pytest.approx(cycles + 3670)


def test_narrow_weights_pay_only_where_memory_is_the_bound() -> None:
    model = load_target("x86-avx512-vnni")
    vector, matrix = Workload.gemm("vector", 1, 4096, 4096), Workload.gemm("matrix", 768, 768, 768)
    by_bits = [model.cost(vector, Precision(bits, 8)).latency_s for bits in (2, 4, 8)]
    assert by_bits[2] == pytest.approx(1e-6 + (4096 * 4096 + 2 * 4096) / 22e9)
    assert by_bits[2] > 1.9 * (by_bits[1] or 0) > 3.6 * (by_bits[0] or 0)
    assert model.cost(matrix, Precision(2, 8)).latency_s == model.cost(matrix, P8).latency_s


def test_weights_are_stored_at_the_width_of_the_kernel() -> None:
    work = Workload.gemm("fc", 1, 100, 10)
    assert load_target("x86-avx512-vnni").cost(work, Precision(3, 3)).weight_bytes == 500
    assert load_target("x86-avx512-vnni").cost(work, Precision(5, 8)).weight_bytes == 1000


def test_avx2_is_faster_while_sums_of_two_cannot_saturate() -> None:
    model = load_target("x86-avx2")
    work = Workload.conv("dense", (64, 64), (3, 3), (56, 56))
    times = [model.cost(work, Precision(bits, 8)).latency_s or 0 for bits in (6, 7, 8)]
    assert times[0] < times[1] < times[2] < 1.5 * times[0]


def test_products_of_activations_have_no_packed_side() -> None:
    work = Workload.matmul("scores", 8, 49, 32, 49)
    assert load_target("x86-avx512-vnni").precisions(work) == (P8, Precision(16, 16), FLOAT)
    with pytest.raises(UnsupportedError, match="no supported precision covers w8a16"):
        load_target("arm-dotprod").round_up(work, Precision(8, 16))


def test_a_depthwise_layer_has_a_rate_of_its_own() -> None:
    work = Workload.conv("depthwise", (96, 96), (3, 3), (112, 112), groups=96)
    cost = load_target("x86-avx512-vnni").cost(work, P8)
    assert cost.latency_s == pytest.approx(1e-6 + work.macs / 9.2 / 3.67e9)


def test_a_conversion_is_a_pass_over_the_tensor() -> None:
    model = load_target("x86-avx512-vnni")
    assert isinstance(model, PricesElementwise)
    work = Elementwise.conversion("activation", 3_670_000)
    assert model.elementwise_cost(work, 8, 16).latency_s == pytest.approx(1e-6 + 1e-3)
    assert Metric.ENERGY not in model.metrics
