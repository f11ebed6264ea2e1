"""Schedules, refusals of options, and pictures that move; no PyTorch is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from passes.errors import UsageError
from passes.training.augmentation import augmented
from passes.training.course import Course, Schedule, TuningCourse


def test_rates_rise_and_then_fall() -> None:
    course = Course(steps=14, warm_up=4)
    assert [course.factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert course.factor(4) == 1.0
    assert course.factor(9) == pytest.approx(0.5)
    assert Course(steps=10, schedule=Schedule.LINEAR).factor(3) == pytest.approx(0.7)
    assert Course(steps=10, schedule=Schedule.CONSTANT).factor(9) == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"bias_rate": -1.0}, "bias-rate must be at least 0"),
        ({"rate": float("nan")}, "rate must be at least 0"),
        ({"rate": float("inf")}, "rate must be at least 0"),
        ({"labels": 1.5}, "labels must be a share from 0 to 1"),
        ({"steps": 3, "warm_up": 4}, "warm-up must be at most steps"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TuningCourse(**options).check_numbers()


def test_pictures_move_with_their_border_continued() -> None:
    pictures = np.arange(2 * 3 * 3, dtype=np.float32).reshape(2, 1, 3, 3)
    allowed = {
        tuple(np.pad(picture[0], 1, mode="edge")[top : top + 3, left : left + 3].ravel())
        for picture in pictures
        for top in range(3)
        for left in range(3)
    }
    rng = np.random.default_rng(0)
    found = [augmented(pictures, 1, False, rng, channels_last=False) for _ in range(20)]
    assert {tuple(picture.ravel()) for batch in found for picture in batch} <= allowed
    assert len({batch.tobytes() for batch in found}) > 5


def test_pictures_are_mirrored_left_to_right_in_either_layout() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.standard_normal((64, 5, 4, 3)).astype(np.float32)
    last = augmented(pictures, 0, True, np.random.default_rng(1), channels_last=True)
    mirrored = (last == pictures[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (last == pictures).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 16 < mirrored.sum() < 48
    first = augmented(np.moveaxis(pictures, -1, 1), 0, True, np.random.default_rng(1), channels_last=False)
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), last)


def test_what_is_no_picture_stays() -> None:
    tokens = np.arange(6).reshape(2, 3)
    assert augmented(tokens, 2, True, np.random.default_rng(0), channels_last=False) is tokens
