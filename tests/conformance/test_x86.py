"""x86 against times of ONNX Runtime 1.31.1: VNNI on one core of Zen 4, AVX2 on an EPYC without AVX-512."""

from __future__ import annotations

import pytest

from hwmodels import Precision, Workload, load_target

PEAK_MACS_PER_S = 64 * 3.67e9

DENSE = Workload.conv("3x3, 64 channels", (64, 64), (3, 3), (56, 56))
POINTWISE = Workload.conv("1x1, 64 channels", (64, 64), (1, 1), (56, 56))
CONV128 = Workload.conv("3x3, 128 channels", (128, 128), (3, 3), (28, 28))


@pytest.mark.parametrize(
    ("work", "share"),
    [
        (DENSE, 0.92),
        (POINTWISE, 0.73),
        (Workload.conv("1x1, 960 channels", (960, 320), (1, 1), (7, 7)), 0.84),
        (Workload.gemm("128 rows", 128, 768, 768), 0.94),
        (Workload.gemm("49 rows", 49, 960, 320), 0.87),
    ],
    ids=lambda value: value.name if isinstance(value, Workload) else "",
)
def test_the_share_of_peak_is_met(work: Workload, share: float) -> None:
    measured_s = work.macs / (share * PEAK_MACS_PER_S)
    assert load_target("x86-avx512-vnni").cost(work, Precision(8, 8)).latency_s == pytest.approx(
        measured_s, rel=0.05
    )


@pytest.mark.parametrize(
    ("work", "pair", "measured_s", "error"),
    [
        (CONV128, "w8a8", 0.55e-3, -0.038),
        (Workload.gemm("64 rows", 64, 1024, 1024), "w8a8", 0.34e-3, -0.069),
        (CONV128, "w8a16", 2.39e-3, 0.005),
    ],
    ids=["conv", "product", "conv in floats"],
)
def test_single_layers_are_met(work: Workload, pair: str, measured_s: float, error: float) -> None:
    latency_s = load_target("x86-avx512-vnni").cost(work, Precision.parse(pair)).latency_s or 0
    assert latency_s / measured_s - 1 == pytest.approx(error, abs=0.003)


@pytest.mark.parametrize(
    ("work", "macs_per_s", "error"),
    [
        (DENSE, 93.9e9, 0.62),
        (POINTWISE, 73.9e9, 0.45),
        (Workload.conv("depthwise", (96, 96), (3, 3), (112, 112), groups=96), 14.6e9, -0.13),
        (Workload.gemm("128 rows", 128, 768, 768), 70.3e9, 0.21),
        (Workload.gemm("49 rows", 49, 960, 320), 66.0e9, 0.20),
        (Workload.gemm("vector", 1, 4096, 4096), 28.8e9, 0.31),
    ],
    ids=lambda value: value.name if isinstance(value, Workload) else "",
)
def test_avx2_is_as_far_off_as_its_file_says(work: Workload, macs_per_s: float, error: float) -> None:
    """Nothing was fitted; ONNX Runtime's kernel saturates and is faster than the exact one that is priced."""
    latency_s = load_target("x86-avx2").cost(work, Precision(8, 8)).latency_s or 0
    assert latency_s * macs_per_s / work.macs - 1 == pytest.approx(error, abs=0.01)
