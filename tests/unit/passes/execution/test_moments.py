"""Second moments against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from passes.execution.moments import Moments


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("centred", [False, True])
def test_products_are_those_of_all_vectors(*, centred: bool, same: bool) -> None:
    rng = np.random.default_rng(0)
    x = (3 + rng.standard_normal((2, 50, 4))).astype(np.float32)
    y = x if same else (1 + x @ rng.standard_normal((4, 4))).astype(np.float32)
    moments = Moments()
    for part in (slice(0, 20), slice(20, 50)):
        seen = x[:, part]
        moments.update(seen, seen if same else y[:, part])
    shift = [vectors.mean(axis=1, keepdims=True) if centred else 0.0 for vectors in (x, y)]
    far, aim = ((vectors - mean).astype(np.float64) for vectors, mean in zip((x, y), shift, strict=True))
    for found, left, right in zip(
        moments.products(centred=centred), (far, far, aim), (far, aim, aim), strict=True
    ):
        np.testing.assert_allclose(found, left.transpose(0, 2, 1) @ right / 50, rtol=1e-4, atol=1e-4)


def test_what_does_not_vary_has_no_moments_about_its_mean() -> None:
    x = np.stack([np.full(30, 1e4), np.linspace(-1, 1, 30)], axis=1).astype(np.float32)[None]
    moments = Moments()
    moments.update(x, x.copy())
    for found in moments.products(centred=True):
        assert not found[0, 0].any()
        assert not found[0, :, 0].any()
        assert found[0, 1, 1] > 0
