"""Integer formats: their limits, their names and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import UsageError
from passes.numerics import SUPPORTED_BITS, IntFormat


@pytest.mark.parametrize(
    ("fmt", "qmin", "qmax", "levels", "dtype", "container"),
    [
        (IntFormat(1), -1, 0, 2, np.int8, 2),
        (IntFormat(1, signed=False), 0, 1, 2, np.uint8, 2),
        (IntFormat(3), -4, 3, 8, np.int8, 4),
        (IntFormat(4, narrow_range=True), -7, 7, 15, np.int8, 4),
        (IntFormat(8, signed=False), 0, 255, 256, np.uint8, 8),
        (IntFormat(16), -32768, 32767, 65536, np.int16, 16),
        (IntFormat(16, signed=False), 0, 65535, 65536, np.uint16, 16),
    ],
)
def test_limits(fmt, qmin, qmax, levels, dtype, container):
    assert (fmt.qmin, fmt.qmax, fmt.levels) == (qmin, qmax, levels)
    assert fmt.dtype == dtype
    assert fmt.container_bits == container


@pytest.mark.parametrize("bits", SUPPORTED_BITS)
@pytest.mark.parametrize("signed", [True, False])
def test_name_round_trips(bits, signed):
    fmt = IntFormat(bits, signed)
    assert IntFormat.parse(str(fmt)) == fmt


def test_names():
    assert str(IntFormat(4)) == "int4"
    assert str(IntFormat(8, signed=False)) == "uint8"
    assert IntFormat.parse("int4n") == IntFormat(4, narrow_range=True)


def test_order_is_by_bits():
    assert sorted([IntFormat(8), IntFormat(2), IntFormat(16), IntFormat(4)])[0] == IntFormat(2)
    assert IntFormat(2) < IntFormat(3, signed=False)


@pytest.mark.parametrize("bits", [0, -1, 9, 12, 32])
def test_other_widths_are_refused(bits):
    with pytest.raises(UsageError, match="bits must be one of"):
        IntFormat(bits)


@pytest.mark.parametrize(("bits", "signed"), [(1, True), (8, False)])
def test_narrow_range_needs_two_signed_bits(bits, signed):
    with pytest.raises(UsageError, match="narrow_range"):
        IntFormat(bits, signed, narrow_range=True)


@pytest.mark.parametrize("text", ["", "int", "int9", "float8", "int4 ", "INT4", "uint8n", "int004"])
def test_unknown_names_are_refused(text):
    with pytest.raises(UsageError):
        IntFormat.parse(text)
