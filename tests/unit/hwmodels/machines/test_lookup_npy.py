from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodels import SpecError
from hwmodels.machines.lookup_npy import parse_npy


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8"])
def test_plain_numbers_are_read(dtype: str) -> None:
    array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    assert np.array_equal(parse_npy(saved(array), "here"), array)
    assert np.array_equal(parse_npy(saved(np.asfortranarray(array)), "here"), array)


def test_a_header_that_promises_more_than_there_is_allocates_nothing() -> None:
    data = saved(np.zeros((2, 3)))
    with pytest.raises(SpecError, match="here: its header promises 7200000000000 bytes of numbers, found 48"):
        parse_npy(data.replace(b"(2, 3), }           ", b"(900000000, 1000), }"), "here")


def test_objects_are_not_unpickled() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(SpecError, match="expected an array of one of"):
        parse_npy(stream.getvalue(), "here")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x93NUMPY\x01", b"\x93NUMPY\x09"),
        (b"\x93NUMPY\x01", b"\x93NUMPZ\x01"),
        (b"'<f8'", b"'>f8'"),
        (b"(2, 3)", b"(-2,3)"),
        (b"(2, 3)", b"[2, 3]"),
        (b"(2, 3)", b"(((((("),
        (b"'shape'", b"'shapf'"),
        (b"{'descr'", b"f('descr'"),
    ],
)
def test_a_damaged_header_is_refused(old: bytes, new: bytes) -> None:
    data = saved(np.zeros((2, 3)))
    assert old in data
    with pytest.raises(SpecError, match=r"^here: "):
        parse_npy(data.replace(old, new, 1), "here")


@given(st.integers(0, 200), st.binary(max_size=20), st.integers(0, 200))
def test_any_damage_is_an_array_or_a_clear_error(at: int, patch: bytes, length: int) -> None:
    data = bytearray(saved(np.ones((2, 3))))
    data[at : at + len(patch)] = patch
    try:
        array = parse_npy(bytes(data[:length]), "here")
    except SpecError:
        return
    assert array.dtype == np.float64
