"""Array files: whole ones are read, damaged and lying ones are refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from passes.errors import DataError
from passes.execution.npz import read_npz


def npy(shape: tuple[int, ...], data: bytes, descr: str = "<f4") -> bytes:
    """One .npy file whose header says `shape`, whatever follows it."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


def archive(path: Path, member: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", member)
    return path


def test_arrays_come_back_as_they_were(tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = {
        "a": rng.normal(size=(2, 3)).astype(np.float32),
        "b": np.asfortranarray(rng.integers(0, 255, (4, 5), dtype=np.uint8)),
        "scalar": np.array(7, dtype=np.int64),
    }
    np.savez(tmp_path / "x.npz", allow_pickle=False, **arrays)
    found = read_npz(tmp_path / "x.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy((10**12,), b"1234"), "does not fit its bytes"),
        (npy((-1,), b"1234"), "cannot be read as .npz"),
        (npy((2,), b"1234"), "does not fit its bytes"),
        (npy((1,), b"12345678", "|O"), "does not fit its bytes"),
        (b"no array", "magic"),
        (b"", "cannot be read as .npz"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, member: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_npz(archive(tmp_path / "x.npz", member))


def test_truncated_and_missing_files_are_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path / "x.npz", npy((1,), b"1234")).read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("half.npz", "none.npz"):
        with pytest.raises(DataError, match=name):
            read_npz(tmp_path / name)


@pytest.mark.parametrize("text", ["{'descr': '<f4', 'shape': (3,", "{'descr': ]", "(" * 400])
def test_a_header_that_is_no_literal_is_refused(tmp_path: Path, text: str) -> None:
    header = text.encode().ljust(1024)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read_npz(tmp_path / "x.npz")
