"""Scales of few bits: exact values, order, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import UsageError
from passes.numerics import short_scale
from passes.numerics.scales import SPARE_BITS


@pytest.mark.parametrize(
    ("scale", "up", "nearest"), [(1.0, 1.0, 1.0), (1.01, 1.125, 1.0), (1.07, 1.125, 1.125)]
)
def test_hand_made_values(scale: float, up: float, nearest: float) -> None:
    assert short_scale(scale, up=True) == np.float32(up)
    assert short_scale(scale, up=False) == np.float32(nearest)


def test_rounding_up_covers_and_keeps_the_shape() -> None:
    scales = np.geomspace(1e-30, 1e30, 1001, dtype=np.float32).reshape(7, 143)
    rounded = short_scale(scales, up=True)
    assert rounded.shape == scales.shape
    assert (rounded >= scales).all()
    assert (rounded / scales < 1.125).all()


def test_the_nearest_is_within_a_sixteenth() -> None:
    scales = np.geomspace(1e-20, 1e20, 500, dtype=np.float32)
    assert (np.abs(short_scale(scales, up=False) / scales - 1) <= 1 / 16).all()


def test_low_bits_are_zero() -> None:
    patterns = short_scale(np.geomspace(1e-20, 1e20, 500), up=False).view(np.uint32)
    assert not (patterns & ((1 << SPARE_BITS) - 1)).any()


def test_float32_sums_of_products_are_exact() -> None:
    rng = np.random.default_rng(7)
    x, w = rng.integers(0, 256, 256), rng.integers(-128, 128, 256)
    sx, sw = short_scale(0.0371, up=True), short_scale(0.00213, up=True)
    products = (x.astype(np.float32) * sx) * (w.astype(np.float32) * sw)
    total = np.float32(0)
    for product in products:
        total += product
    assert float(total) == int(x @ w) * float(sx) * float(sw)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_refuses_what_is_no_scale(scale: float) -> None:
    with pytest.raises(UsageError, match="short scale"):
        short_scale(scale, up=True)
