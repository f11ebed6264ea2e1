"""From stored images to inputs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from passes.errors import DataError, UsageError
from passes.execution.preprocess import Preprocess

FLOAT = np.dtype(np.float32)


def test_presets_are_the_documented_lines() -> None:
    line = "resize=256 crop=224 scale=255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225 layout=nchw order=rgb"
    assert Preprocess.parse("imagenet") == Preprocess.parse(line)
    assert Preprocess.parse("tf") == Preprocess(resize=256, crop=224, scale=127.5, mean=(1.0,))


def test_every_step_by_hand() -> None:
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[..., 0], image[..., 2] = 255, 51
    step = Preprocess.parse("mean=0.5 std=0.5 order=bgr layout=nhwc")
    np.testing.assert_allclose(step.arrays(image, FLOAT)[0, 0, 0], [-0.6, -1.0, 1.0], rtol=1e-6)
    assert step.arrays(image, FLOAT).shape == (1, 2, 2, 3)
    assert Preprocess().arrays(image, FLOAT).shape == (1, 3, 2, 2)


def test_the_shortest_side_is_resized_and_the_centre_is_cut() -> None:
    picture = Image.fromarray(np.full((10, 20, 3), 9, np.uint8))
    assert Preprocess(resize=5).image(picture).shape == (5, 10, 3)
    assert Preprocess(resize=5, crop=4).image(picture).shape == (4, 4, 3)
    columns = np.arange(20, dtype=np.uint8)[None, :, None].repeat(10, 0).repeat(3, 2)
    cut = Preprocess(crop=4).image(Image.fromarray(columns))
    np.testing.assert_array_equal(cut[0, :, 0], [8, 9, 10, 11])


def test_integer_inputs_take_the_bytes_as_they_are() -> None:
    image = np.full((1, 2, 2, 3), 200, np.uint8)
    assert Preprocess.parse("imagenet").normalize(image, np.dtype(np.uint8)).max() == 200


@pytest.mark.parametrize(
    "text", ["scale=0", "std=1,0,1", "layout=chw", "crop=-1", "mean=a", "resize", "scale=nan", "std=inf"]
)
def test_settings_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="--preprocess"):
        Preprocess.parse(text)


def test_a_crop_larger_than_the_image() -> None:
    with pytest.raises(DataError, match="crop=9 is larger than an image of 4 x 6"):
        Preprocess(crop=9).arrays(np.zeros((1, 4, 6, 3), np.uint8), FLOAT)
