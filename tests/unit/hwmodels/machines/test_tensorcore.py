from __future__ import annotations

import pytest

from hwmodels import Precision, Workload, load_target

P4, P8 = Precision(4, 4), Precision(8, 8)


def test_a_dense_layer_of_the_t4_is_overhead_and_products() -> None:
    work = Workload.conv("dense", (64, 64), (3, 3), (56, 56), batch=8)
    model = load_target("tensorcore-t4")
    assert model.cost(work, P8).latency_s == pytest.approx(9.43e-6 + work.macs / 4506 / 585e6)
    assert model.cost(work, P4).latency_s == pytest.approx(9.43e-6 + work.macs / 7850 / 585e6)


def test_a_matrix_by_a_vector_is_bound_by_memory() -> None:
    work = Workload.gemm("vector", 1, 4096, 4096)
    model = load_target("tensorcore-h100")
    for weight_bits in (4, 8):
        moved = 4096 * 4096 * weight_bits / 8 + 2 * 4096
        cost = model.cost(work, Precision(weight_bits, 8))
        assert cost.latency_s == pytest.approx(5e-6 + moved / 3.35e12)
        assert cost.energy_j == pytest.approx(700 * (5e-6 + moved / 3.35e12))


def test_narrow_weights_do_not_speed_up_products_of_the_h100() -> None:
    work = Workload.gemm("square", 8192, 8192, 8192)
    model = load_target("tensorcore-h100")
    times = {bits: model.cost(work, Precision(bits, 8)).latency_s for bits in (4, 8)}
    assert times[4] == times[8] == pytest.approx(5e-6 + 8192**3 / (540672 * 1.83e9))
    assert model.round_up(work, Precision(3, 3)) == Precision(4, 8)


def test_depthwise_layers_leave_the_tensor_cores() -> None:
    work = Workload.conv("depthwise", (512, 512), (3, 3), (56, 56), groups=512, batch=8)
    model = load_target("tensorcore-t4")
    products = work.macs / 1120 / 585e6
    assert model.cost(work, P8).latency_s == pytest.approx(9.43e-6 + products)
