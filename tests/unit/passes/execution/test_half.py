"""Casts by ONNX Runtime give NumPy's bytes."""

import numpy as np
import pytest

from passes.execution.half import to_half, to_single


def test_every_half_comes_back_exactly() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[~np.isnan(halves)]
    singles = to_single(halves)
    assert singles.dtype == np.float32
    np.testing.assert_array_equal(singles, halves.astype(np.float32))
    np.testing.assert_array_equal(to_half(singles), halves)


def test_halfway_rounds_to_even_as_in_numpy() -> None:
    halves = np.arange(0x7BFF, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[:-1] + halves[1:]) / 2
    np.testing.assert_array_equal(to_half(middles), middles.astype(np.float16))
    np.testing.assert_array_equal(to_half(-middles), (-middles).astype(np.float16))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert to_half(values).shape == shape
    np.testing.assert_array_equal(to_half(values), np.asarray(values).astype(np.float16))


def test_strided_views() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[::2]
    np.testing.assert_array_equal(to_half(values), values.astype(np.float16))
