from __future__ import annotations

from dataclasses import replace

import pytest

from hwmodels import HardwareError, Metric, Precision, Workload, load_target

DENSE = Workload.conv("dense", (64, 64), (3, 3), (56, 56))
STRIDED = Workload.conv("strided", (3, 64), (7, 7), (112, 112), stride=2, batch=2)
DEPTHWISE = Workload.conv("depthwise", (96, 96), (3, 3), (28, 28), groups=96)


def test_a_convolution_counts_its_work() -> None:
    # 56 * 56 positions, 64 outputs, 64 * 9 products each.
    assert DENSE.macs == 115_605_504
    assert DENSE.reduction == 576
    assert DENSE.weight_count == 36_864
    assert DENSE.in_elements == DENSE.out_elements == 200_704
    assert not DENSE.depthwise


def test_stride_and_batch_count() -> None:
    assert STRIDED.in_elements == 2 * 3 * 224 * 224
    assert STRIDED.out_elements == 2 * 64 * 112 * 112
    assert STRIDED.macs == 2 * 112 * 112 * 64 * 147


def test_a_depthwise_convolution_sums_over_the_kernel_only() -> None:
    assert DEPTHWISE.depthwise
    assert DEPTHWISE.reduction == 9
    assert DEPTHWISE.macs == 96 * 28 * 28 * 9
    assert DEPTHWISE.weight_count == 96 * 9


def test_a_transposed_convolution_works_at_its_input_positions() -> None:
    work = Workload(
        name="up",
        op="ConvTranspose",
        in_channels=8,
        out_channels=4,
        kernel=(2, 2),
        out_spatial=(10, 10),
        in_elements=8 * 5 * 5,
        out_elements=4 * 10 * 10,
        weight_count=8 * 4 * 4,
    )
    assert work.macs == 5 * 5 * 8 * 4 * 4
    assert (work.rows, work.depth, work.columns) == (25, 8, 16)


def test_matrix_products_count_rows_inner_and_columns() -> None:
    gemm = Workload.gemm("fc", 2, 512, 1000)
    assert (gemm.macs, gemm.weight_count, gemm.rhs_elements) == (1_024_000, 512_000, 0)
    scores = Workload.matmul("scores", 8, 49, 32, 50)
    assert (scores.macs, scores.weight_count, scores.rhs_elements) == (8 * 49 * 32 * 50, 0, 8 * 32 * 50)


def test_weights_are_packed_and_padded_to_bytes() -> None:
    work = Workload.gemm("fc", 1, 3, 1)
    assert [work.weight_bytes(Precision(bits, 8)) for bits in (1, 2, 3, 8)] == [1, 1, 2, 3]
    assert work.bops(Precision(2, 8)) == 48


def test_multipliers_of_groups_take_a_byte_beside_weights_that_have_them() -> None:
    work = replace(Workload.gemm("fc", 1, 64, 3), multiplier_count=6)
    precisions = [Precision(bits, 8) for bits in (4, 8, 16)]
    assert [work.weight_bytes(precision) for precision in precisions] == [96 + 6, 192 + 6, 384]
    prices = load_target("generic").prices([work], precisions)
    assert prices[Metric.WEIGHT_BYTES].tolist() == [[102.0, 198.0, 384.0]]
    with pytest.raises(HardwareError, match="multiplier_count must be"):
        replace(work, multiplier_count=-1)


@pytest.mark.parametrize(
    "field", ["batch", "groups", "in_channels", "out_channels", "in_elements", "out_elements"]
)
@pytest.mark.parametrize("value", [0, -3, 2**63, 1.5, True])
def test_a_size_that_is_no_size_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(HardwareError, match=rf"layer 'dense': {field} must be"):
        replace(DENSE, **{field: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": (3, 0)}, "kernel must be"),
        ({"kernel": ()}, "kernel of Conv"),
        ({"kernel": (1, 1, 1, 1)}, "kernel of Conv"),
        ({"op": "Gemm"}, "kernel of Gemm"),
        ({"out_spatial": ()}, "out_spatial has"),
        ({"groups": 3}, "groups must divide"),
        ({"rhs_elements": 5}, "must be 0"),
        ({"weight_count": 0}, "must be 0"),
        ({"weight_count": -1}, "weight_count must be"),
        ({"in_elements": 65}, "multiple of in_channels"),
        ({"op": "Softmax"}, "op must be"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(HardwareError, match=message):
        replace(DENSE, **changes)


@pytest.mark.parametrize("groups", [0, 5])
def test_groups_that_cannot_be_are_refused_by_the_helper(groups: int) -> None:
    with pytest.raises(HardwareError, match="groups"):
        Workload.conv("grouped", (64, 64), (3, 3), (8, 8), groups=groups)
