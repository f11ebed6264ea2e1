"""Arrays of an .npz file, some samples at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from passes.errors import DataError
from passes.execution.npz_stream import NpzStream


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("size", [1, 3, 7, 100, None])
def test_batches_add_up_to_the_arrays(tmp_path: Path, save: object, size: int | None) -> None:
    a, b = np.arange(42.0).reshape(7, 2, 3), np.asfortranarray(np.arange(14).reshape(7, 2))
    save(tmp_path / "x.npz", a=a, b=b, other=np.zeros(3))  # type: ignore[operator]
    with NpzStream(tmp_path / "x.npz", ("a", "b")) as stream:
        assert stream.count == 7
        parts = list(stream.batches(size))
    assert [len(part["a"]) for part in parts[:-1]] == [size] * (len(parts) - 1)
    np.testing.assert_array_equal(np.concatenate([part["a"] for part in parts]), a)
    np.testing.assert_array_equal(np.concatenate([part["b"] for part in parts]), b)


def test_arrays_of_different_lengths_come_whole(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(3), b=np.float32(2))
    with NpzStream(tmp_path / "x.npz", ("a", "b")) as stream:
        assert stream.count is None
        [part] = stream.batches(1)
    assert (part["a"].shape, part["b"].shape) == ((3,), ())


def test_a_single_input_may_be_called_x(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.ones((2, 1)))
    with NpzStream(tmp_path / "x.npz", ("image",)) as stream:
        assert [part["image"].sum() for part in stream.batches(1)] == [1, 1]


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.ones(2))
    with pytest.raises(DataError, match="expected an array for each input a, b, found a"):
        NpzStream(tmp_path / "x.npz", ("a", "b"))


def test_damage_behind_the_header_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(4000.0))
    data = bytearray(path.read_bytes())
    data[20000] ^= 255
    path.write_bytes(data)
    with NpzStream(path, ("x",)) as stream, pytest.raises(DataError, match="CRC"):
        list(stream.batches(100))


def test_what_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        NpzStream(tmp_path / "x.npz", ("x",))
