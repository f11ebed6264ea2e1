"""What the extension module refuses, and that threads change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from passes.artifact import WeightLayout
from passes.errors import UsageError
from qtool.runtime.native import instruction_sets, is_built, make_executor
from qtool.runtime.native.conv import gemm
from qtool.runtime.native.matrix import prepare_matrix

pytestmark = pytest.mark.skipif(not is_built(), reason="this installation has no extension module")


@pytest.fixture
def layer(executor, make):
    rng = np.random.default_rng(0)
    weight = make.weight(rng, (20, 40), 20, 4, WeightLayout.OUT_IN)
    infos = make.info(rng, "x", 2, 8), make.info(rng, "y", 2, 8)
    node = make.node(rng, "gemm", [infos[0]], infos[1], ("exact", "half_even"), weight=weight)
    return prepare_matrix(node, executor)


def codes(*shape, dtype=np.uint8):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("x", "out"),
    [
        (codes(3, 39), codes(3, 20)),
        (codes(3, 40), codes(3, 21)),
        (codes(3, 40), codes(2, 20)),
        (codes(3, 40), codes(3, 20, dtype=np.float32)),
        (codes(3 * 40), codes(3, 20)),
    ],
)
def test_wrong_shapes_are_refused(executor, layer, x, out):
    with pytest.raises(ValueError, match=r"gemm|output"):
        executor.gemm(layer, x, out)


@pytest.mark.parametrize(
    "x", [codes(3, 40, dtype=np.int8), codes(40, 3).T, codes(3, 80)[:, ::2], [[0] * 40] * 3]
)
def test_other_arrays_are_refused(executor, layer, x):
    with pytest.raises(TypeError, match="incompatible function arguments"):
        executor.gemm(layer, x, codes(3, 20))


def test_weights_of_another_length_are_refused(executor):
    numbers = np.zeros(16, np.int64)
    with pytest.raises(ValueError, match="weights"):
        executor.column_sums(codes(100), 4, 16, 32, np.zeros(16, np.int32), numbers, numbers.copy())


def test_absurd_windows_are_refused():
    from qtool.runtime.native._kernels import WindowShape

    for kernel, strides in (((0, 1), (1, 1)), ((1, 1), (1, 1 << 40)), ((1 << 13, 1), (1, 1))):
        with pytest.raises(ValueError, match="window"):
            WindowShape((1, *kernel), (1, *strides), (1, 1, 1), (0, 0, 0))


def test_unknown_instruction_sets_are_refused():
    with pytest.raises(UsageError, match="'mmx' is not on this machine"):
        make_executor("mmx")


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("m", [1, 400])
def test_threads_do_not_change_a_bit(make, isa, m):
    rng = np.random.default_rng(m)
    weight = make.weight(rng, (150, 130), 150, 5, WeightLayout.OUT_IN)
    x, y = make.info(rng, "x", 2, 8), make.info(rng, "y", 2, 8)
    node = make.node(rng, "gemm", [x], y, ("fixed_point", "half_even"), weight=weight)
    stored = rng.integers(0, 256, (m, 130)).astype(np.uint8)
    first, *others = (gemm(node, make_executor(isa, threads))(stored) for threads in (1, 2, 5))
    for other in others:
        np.testing.assert_array_equal(first, other)
