"""Observers remember what passed, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from passes.execution import observers
from passes.execution.observers import MeanObserver, PatchObserver, RangeObserver, patches
from passes.ir.layers import Layer, weight_matrix
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.setup import quantizer_setup

CONV = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N,4,5] x) => (float[N,2,3] y) <float[2,2,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}>
{ [conv] y = Conv<group = 2, pads = [1, 1], strides = [2]>(x, w) }
"""


@pytest.fixture
def gemm(model: Model) -> Layer:
    """The first layer of the model."""
    return quantizer_setup(model.graph).layers[0]


def test_ranges_widen() -> None:
    observer = RangeObserver()
    for low, high in ((0.0, 1.0), (-2.0, 0.5)):
        observer.update(low, high)
    assert (observer.low, observer.high) == (-2.0, 1.0)


def test_means_are_weighted_by_samples() -> None:
    observer = MeanObserver()
    observer.update(np.array([1.0, 0.0], np.float32), 3)
    observer.update(np.array([5.0, 4.0], np.float32), 1)
    np.testing.assert_allclose(observer.value(), [2.0, 1.0])


def test_patches_of_a_convolution_are_columns_of_its_product(rng: np.random.Generator) -> None:
    model = model_from_text(CONV)
    (layer,) = quantizer_setup(model.graph).layers
    sample = rng.standard_normal((4, 5)).astype(np.float32)
    found = patches(layer, sample, 64, rng)
    assert found.shape == (64, 2, 6)
    padded = np.pad(sample, [(0, 0), (1, 1)])
    columns = {tuple(padded[2:, start : start + 3].reshape(-1)) for start in (0, 2, 4)}
    assert {tuple(patch) for patch in found[:, 1]} == columns
    assert weight_matrix(layer, layer.weight_values()).shape == (2, 1, 6)


def test_patches_of_a_product_are_rows(gemm: Layer, rng: np.random.Generator) -> None:
    sample = np.array([3.0, 4.0], np.float32)
    np.testing.assert_array_equal(patches(gemm, sample, 2, rng), [[[3.0, 4.0]]] * 2)


def test_memory_is_bounded_and_samples_stay_spread(
    gemm: Layer, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = observers.PATCHES_PER_SAMPLE * 2 * 4
    monkeypatch.setattr(observers, "MAX_PATCH_BYTES", 10 * size)
    observer = PatchObserver(gemm)
    for start in range(0, 100, 10):
        batch = np.arange(start, start + 10, dtype=np.float32)[:, None].repeat(2, 1)
        observer.update(batch, rng)
    kept = observer.matrix()[:, 0, 0, 0]
    assert len(kept) <= 10
    np.testing.assert_array_equal(np.diff(kept), np.full(len(kept) - 1, observer.stride))
    assert kept[-1] >= 80
