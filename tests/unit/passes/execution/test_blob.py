"""Encoded pictures in an .npz file: decoded as they are, and nothing is believed."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from passes.errors import DataError
from passes.execution.sources import open_source


def encoded(sizes: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    files = []
    for picture in pictures:
        stream = BytesIO()
        Image.fromarray(picture).save(stream, format="png")
        files.append(stream.getvalue())
    offsets = np.cumsum([0, *map(len, files)])
    return np.frombuffer(b"".join(files), np.uint8), offsets, pictures


def test_pictures_come_out_in_order(tmp_path: Path) -> None:
    blob, offsets, pictures = encoded([(4, 5)] * 3)
    np.savez(tmp_path / "data.npz", blob=blob, offsets=offsets, labels=np.array([2, 0, 1]))
    source = open_source(str(tmp_path / "data.npz"), None, ["input"])
    assert (source.names, source.count, source.labels.tolist()) == (("x",), 3, [2, 0, 1])
    np.testing.assert_array_equal(source.load(1, 3)["x"], np.stack(pictures[1:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": np.array([0, 9, 5])}, "rising integers"),
        ({"offsets": np.array([-4, 9])}, "rising integers"),
        ({"offsets": np.array([0.0, 9.0])}, "rising integers"),
        ({"offsets": np.array([0])}, "rising integers"),
        ({"offsets": np.array([0, 1 << 40])}, "ends at byte"),
        ({"offsets": np.array([0, 7])}, "picture 0 cannot be decoded"),
        ({"blob": np.zeros(9)}, "expected bytes in blob"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    blob, offsets, _ = encoded([(4, 5)] * 2)
    np.savez(tmp_path / "data.npz", **({"blob": blob, "offsets": offsets} | change))
    with pytest.raises(DataError, match=message):
        open_source(str(tmp_path / "data.npz"), None, ["input"])


def test_pictures_of_different_sizes_are_refused(tmp_path: Path) -> None:
    blob, offsets, _ = encoded([(4, 5), (5, 4)])
    np.savez(tmp_path / "data.npz", blob=blob, offsets=offsets)
    with pytest.raises(DataError, match=r"picture 1 has \(5, 4\) pixels, the first one \(4, 5\)"):
        open_source(str(tmp_path / "data.npz"), None, ["input"])
