"""Scales in two bytes."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import UsageError
from passes.numerics import round_up_to_bfloat16


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(0.0, 0.0), (-0.0, 0.0), (1.0, 1.0), (1.0 + 2**-20, 1.0078125), (1.0078125, 1.0078125), (0.75, 0.75)],
)
def test_by_hand(scale, expected):
    rounded = round_up_to_bfloat16(scale)
    assert rounded.dtype == np.float32
    assert rounded == expected


def test_many_are_never_below_and_have_sixteen_zero_bits():
    scales = np.random.default_rng(1).lognormal(-5, 4, (40, 25)).astype(np.float32)
    rounded = round_up_to_bfloat16(scales)
    assert not (rounded.view(np.uint32) & 0xFFFF).any()
    assert (rounded >= scales).all()
    assert (rounded <= scales * (1 + 2**-7)).all()


@pytest.mark.parametrize("scale", [-1.0, np.nan, np.inf, 3.4e38])
def test_out_of_range_is_refused(scale):
    with pytest.raises(UsageError, match="bfloat16"):
        round_up_to_bfloat16(scale)
