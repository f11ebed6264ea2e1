"""Samples reach the model in its batches, types and shapes, or are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from passes.errors import DataError
from passes.execution.dataset import Dataset, InputSpec, open_dataset
from passes.execution.preprocess import Preprocess

X = np.arange(14, dtype=np.float32).reshape(7, 2)


def spec(*shape: int | None, name: str = "image", dtype: type = np.float32) -> InputSpec:
    return InputSpec(name, shape, np.dtype(dtype))


def opened(folder: Path, *specs: InputSpec, samples: int | None = None, **arrays: np.ndarray) -> Dataset:
    np.savez(folder / "data.npz", **arrays)
    return open_dataset(str(folder / "data.npz"), specs, None, samples)


def test_batches_cover_the_samples_in_order(tmp_path: Path) -> None:
    data = opened(tmp_path, spec(None, 2), x=X)
    batches = [feeds["image"] for feeds in data.batches(3)]
    assert [len(batch) for batch in batches] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(batches), X)
    np.testing.assert_array_equal(np.concatenate([f["image"] for f in data.batches(3, limit=4)]), X[:4])


def test_arrays_are_matched_by_name_and_labels_follow(tmp_path: Path) -> None:
    labels = np.arange(7)
    specs = (spec(None, 2, name="a"), spec(None, name="b", dtype=np.int64))
    data = opened(tmp_path, *specs, samples=5, b=labels, a=X, labels=labels)
    feeds = next(data.batches(10))
    np.testing.assert_array_equal(feeds["a"], X[:5])
    np.testing.assert_array_equal(feeds["b"], labels[:5])
    np.testing.assert_array_equal(data.labels, labels[:5])


def test_doubles_become_the_type_of_the_model(tmp_path: Path) -> None:
    feeds = next(opened(tmp_path, spec(None, 2), x=X.astype(np.float64)).batches(7))
    assert feeds["image"].dtype == np.float32


@pytest.mark.parametrize(("limit", "sizes"), [(None, [3, 3]), (2, [3]), (4, [3, 3])])
def test_a_model_of_fixed_batch_gets_whole_batches(
    tmp_path: Path, limit: int | None, sizes: list[int]
) -> None:
    data = opened(tmp_path, spec(3, 2), x=X, labels=np.arange(7))
    assert [len(feeds["image"]) for feeds in data.batches(16, limit)] == sizes
    assert data.count == 6
    np.testing.assert_array_equal(data.labels, np.arange(6))


def test_fewer_samples_than_a_fixed_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="batches of 8, found 7 samples"):
        opened(tmp_path, spec(8, 2), x=X)


def test_stored_images_are_preprocessed(tmp_path: Path) -> None:
    images = np.full((2, 4, 4, 3), 51, np.uint8)
    np.savez(tmp_path / "data.npz", x=images)
    step = Preprocess.parse("crop=2 scale=255 mean=0.1 std=0.5")
    feeds = next(open_dataset(str(tmp_path / "data.npz"), (spec(None, 3, 2, 2),), step).batches(2))
    np.testing.assert_allclose(feeds["image"], np.full((2, 3, 2, 2), 0.2), rtol=1e-6)


def test_images_without_preprocessing_are_refused_with_a_hint(tmp_path: Path) -> None:
    data = opened(tmp_path, spec(None, 3, 4, 4), x=np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="give --preprocess"):
        next(data.batches(2))
