from __future__ import annotations

import pytest

from hwmodels import Precision, Workload, load_target


def cycles(work: Workload, precision: str, target: str = "bismo-cloud") -> float | None:
    return load_target(target).cost(work, Precision.parse(precision)).cycles


@pytest.mark.parametrize(("precision", "products"), [("w8a8", 64), ("w3a5", 15), ("w1a1", 1)])
def test_the_array_takes_a_round_for_every_pair_of_bits(precision: str, products: int) -> None:
    # 4 blocks of 16 filters, 4 blocks of 16 positions, 3 words of 256 inputs; many filters hide all loading.
    work = Workload.gemm("dense", 64, 700, 4096)
    assert cycles(work, precision) == max(256 * 4 * 3 * products, 2 * 700 * 4096 * int(precision[1]) / 256)


def test_positions_of_two_images_do_not_share_a_block() -> None:
    work = Workload.conv("few positions", (256, 256), (1, 1), (7, 7), batch=2)
    assert cycles(work, "w8a8") == 16 * (2 * 4) * 1 * 64


def test_few_filters_are_bound_by_activations() -> None:
    work = Workload.conv("narrow", (32, 16), (1, 1), (112, 112))
    assert cycles(work, "w4a8") == 112 * 112 * 8


def test_few_positions_are_bound_by_weights() -> None:
    work = Workload.gemm("fc", 16, 1280, 1000)
    assert cycles(work, "w8a1") == 1280 * 1000 * 8 / 256


def test_weights_pass_by_for_every_block_of_resident_rows() -> None:
    work = Workload.gemm("fc", 49, 256, 256)
    assert cycles(work, "w8a1") == 2 * 256 * 256 * 8 / 256


def test_depthwise_layers_depend_on_activations_alone() -> None:
    work = Workload.conv("depthwise", (96, 96), (3, 3), (28, 28), groups=96)
    assert cycles(work, "w1a4") == cycles(work, "w8a4") == 28 * 28 * 6 * 4


def test_a_computed_right_side_passes_by_at_activation_width() -> None:
    scores = Workload.matmul("scores", 3, 2, 256, 512)
    assert cycles(scores, "w1a2") == 3 * 256 * 512 * 2 / 256


def test_the_edge_has_a_quarter_of_the_units_and_shorter_words() -> None:
    work = Workload.conv("dense", (64, 64), (3, 3), (56, 56))
    assert cycles(work, "w8a8", "bismo-edge") == 8 * 392 * 9 * 64
