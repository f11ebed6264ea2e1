"""Samples of several shapes, and inputs that share no axis of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from passes.errors import DataError
from passes.execution.dataset import Dataset, InputSpec, open_dataset
from passes.execution.joined import joined

IMAGE = InputSpec("image", (None, 3, None, None), np.dtype(np.float32), "batch")


def image(count: int, size: int) -> np.ndarray:
    return np.full((count, 3, size, size), size, np.float32)


@pytest.fixture
def ragged(tmp_path: Path) -> Dataset:
    """Files with two images of 4 x 4, one of 6 x 6, three of 5 x 5."""
    for at, (count, size) in enumerate([(2, 4), (1, 6), (3, 5)]):
        np.savez(tmp_path / f"{at}.npz", image=image(count, size), labels=np.full(count, size))
    return open_dataset(str(tmp_path), (IMAGE,))


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [
        (2, None, [(2, 4), (1, 6), (2, 5), (1, 5)]),
        (16, None, [(2, 4), (1, 6), (3, 5)]),
        (16, 4, [(2, 4), (1, 6), (1, 5)]),
    ],
)
def test_batches_hold_samples_of_one_shape(
    ragged: Dataset, size: int, limit: int | None, expected: list[tuple[int, int]]
) -> None:
    found = [feeds["image"].shape for feeds in ragged.batches(size, limit)]
    assert found == [(count, 3, side, side) for count, side in expected]


def test_labels_and_counts_are_those_of_all_files(ragged: Dataset) -> None:
    assert ragged.count == 6
    assert ragged.labels is not None
    assert ragged.labels.tolist() == [4, 4, 6, 5, 5, 5]


def test_samples_that_are_spread_keep_to_files(ragged: Dataset) -> None:
    assert [feeds["image"].shape[2] for feeds in ragged.spread(1, 3)] == [4, 6, 5]


def test_what_needs_one_shape_is_refused_by_name(ragged: Dataset) -> None:
    with pytest.raises(DataError, match="learning needs samples of one shape"):
        ragged.check_even("learning")


def test_inputs_without_a_common_axis_are_one_sample(tmp_path: Path) -> None:
    """A sequence and the state that it starts from, of two layers; and a number."""
    arrays = {"x": np.ones((5, 1, 4)), "state": np.zeros((2, 1, 3)), "rate": np.array(0.5)}
    np.savez(tmp_path / "x.npz", **arrays)
    kinds = {"x": (None, None, 4), "state": (2, 1, 3), "rate": ()}
    specs = tuple(InputSpec(name, shape, np.dtype(np.float32)) for name, shape in kinds.items())
    data = open_dataset(str(tmp_path / "x.npz"), specs)
    (feeds,) = data.batches(16)
    assert (data.count, {name: array.shape for name, array in feeds.items()}) == (
        1,
        {name: array.shape for name, array in arrays.items()},
    )


def test_a_count_of_samples_that_differs_is_no_feed(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.ones((5, 4)), b=np.ones((6, 4)))
    specs = tuple(InputSpec(name, (None, 4), np.dtype(np.float32), "batch") for name in "ab")
    with pytest.raises(DataError, match="same positive number of samples"):
        open_dataset(str(tmp_path / "x.npz"), specs)


def test_files_that_are_no_whole_batches_of_a_fixed_size_are_refused(tmp_path: Path) -> None:
    for at, size in enumerate((4, 6)):
        np.savez(tmp_path / f"{at}.npz", image=image(3, size))
    spec = InputSpec("image", (2, 3, None, None), np.dtype(np.float32))
    with pytest.raises(DataError, match=r"batches of 2, found files of \[3\]"):
        open_dataset(str(tmp_path), (spec,))


def test_outputs_of_equal_rows_are_joined_along_the_first_axis() -> None:
    batches = [[np.zeros((2, 3))], [np.ones((1, 3))]]
    assert joined(batches)[0].shape == (3, 3)


def test_rows_of_different_lengths_keep_their_largest_entry() -> None:
    (found,) = joined([[np.array([[[1.0, 5.0], [7.0, 2.0]]])], [np.array([[[-3.0, -1.0, -2.0]]])]])
    assert found.tolist() == [[1, 5, 5], [7, 2, 2], [-3, -1, -2]]
    assert found.argmax(-1).tolist() == [1, 0, 1]


def test_numbers_are_joined_as_rows_of_one() -> None:
    assert joined([[np.array(2.0)], [np.array(3.0)]])[0].tolist() == [[2.0], [3.0]]
