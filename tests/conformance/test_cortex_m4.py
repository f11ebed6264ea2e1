"""The Cortex-M4 against MLPerf Tiny 1.0 (mlcommons/tiny_results_v1.0, closed/OctoML, NUCLEO_L4R5ZI)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hwmodels import Cost, Precision, Workload, load_target, network_cost

INFERENCES_PER_S = {"image": 2.567, "keyword": 10.019, "wake": 3.320, "anomaly": 116.212}
"""Median throughput of the submission with microTVM and CMSIS-NN; "wake" was not used for the fit."""

JOULES = {"image": 20.236e-3, "keyword": 5.230e-3, "wake": 15.531e-3}
"""Median energy of an inference of the same submission."""


@pytest.mark.parametrize(
    ("name", "error"), [("image", 0.022), ("keyword", 0.0), ("anomaly", -0.023), ("wake", -0.068)]
)
def test_times_are_met(name: str, error: float) -> None:
    assert (total(name).latency_s or 0) * INFERENCES_PER_S[name] - 1 == pytest.approx(error, abs=0.003)


@pytest.mark.parametrize("name", JOULES)
def test_energies_are_met(name: str) -> None:
    assert total(name).energy_j == pytest.approx(JOULES[name], rel=0.061)


def test_the_networks_have_the_products_that_are_published() -> None:
    macs = {name: sum(work.macs for work in build()) for name, build in NETWORKS.items()}
    assert macs == {"image": 12_501_632, "keyword": 2_656_768, "wake": 7_489_664, "anomaly": 264_192}


def total(name: str) -> Cost:
    works = NETWORKS[name]()
    return network_cost(load_target("cortex-m4"), works, [Precision(8, 8)] * len(works)).total


def image() -> list[Workload]:
    """ResNet-8 for CIFAR-10."""
    works, inputs = [conv(3, 16, 3, 32)], 16
    for outputs, size in ((16, 32), (32, 16), (64, 8)):
        works += [conv(inputs, outputs, 3, size), conv(outputs, outputs, 3, size)]
        works += [conv(inputs, outputs, 1, size)] if inputs != outputs else []
        inputs = outputs
    return [*works, Workload.gemm("classes", 1, 64, 10)]


def keyword() -> list[Workload]:
    """DS-CNN: a 10 x 4 convolution, then four pairs of depthwise and pointwise ones."""
    first = Workload.conv("first", (1, 64), (10, 4), (25, 5), stride=2)
    depthwise = Workload.conv("depthwise", (64, 64), (3, 3), (25, 5), groups=64)
    pointwise = Workload.conv("pointwise", (64, 64), (1, 1), (25, 5))
    return [first, *[depthwise, pointwise] * 4, Workload.gemm("words", 1, 64, 12)]


def wake() -> list[Workload]:
    """MobileNet v1, a quarter wide, at 96 x 96."""
    works, inputs, size = [conv(3, 8, 3, 48)], 8, 48
    widths = (16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256)
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    for outputs, stride in zip(widths, strides, strict=True):
        size //= stride
        works += [conv(inputs, inputs, 3, size, groups=inputs), conv(inputs, outputs, 1, size)]
        inputs = outputs
    return [*works, Workload.gemm("person", 1, 256, 2)]


def anomaly() -> list[Workload]:
    """The autoencoder of ten dense layers."""
    sizes = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
    return [Workload.gemm("dense", 1, inputs, outputs) for inputs, outputs in pairwise(sizes)]


NETWORKS = {"image": image, "keyword": keyword, "wake": wake, "anomaly": anomaly}


def conv(inputs: int, outputs: int, kernel: int, size: int, groups: int = 1) -> Workload:
    return Workload.conv("layer", (inputs, outputs), (kernel,) * 2, (size,) * 2, groups=groups)
