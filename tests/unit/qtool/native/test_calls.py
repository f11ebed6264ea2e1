"""What the extension module refuses, and that threads change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from passes.artifact import WeightLayout
from passes.errors import UsageError
from passes.numerics import IntFormat, pack_gemm
from qtool.runtime.native import instruction_sets, is_built, make_executor
from qtool.runtime.native.conv import gemm
from qtool.runtime.native.matrix import prepare_matrix
from qtool.runtime.native.wide import sums_epilogue

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


def test_masks_of_other_rows_are_refused(executor):
    from qtool.runtime.native._kernels import Softmax

    powers = np.zeros(256, np.int32)
    powers[0] = 1 << 24
    layer = Softmax(powers, 1 << 22, 0, 0, 255)
    rows = np.zeros(3, np.int32)
    good = {"kept": codes(1, 4), "rows": rows, "x": codes(3, 4), "out": codes(3, 4)}
    executor.masked_softmax(layer, **good)
    for name, bad in (("kept", codes(1, 5)), ("rows", rows[:2]), ("rows", rows + 1), ("rows", rows - 1)):
        with pytest.raises(ValueError, match="mask"):
            executor.masked_softmax(layer, **good | {name: bad})


@pytest.fixture
def sums_of(executor):
    """Products of a state with weights of 0, which write sums."""

    def make(outputs, hidden, epilogue=None):
        from qtool.runtime.native._kernels import Gemm

        data = pack_gemm(np.zeros((outputs, hidden), np.uint8), IntFormat(8, signed=False))
        nothing = np.zeros(outputs, np.int64)
        zero = nothing.astype(np.int32)
        made = epilogue or sums_epilogue(outputs)
        return Gemm(data, 8, outputs, hidden, 1, 255, zero, nothing, 128, nothing, made)

    return make


def recurrent_parts(sums_of, hidden=2, gates=3):
    from qtool.runtime.native._kernels import Epilogue, Rescale

    numbers, ones = np.zeros(gates * hidden, np.int32), np.ones(hidden)
    rescale = Rescale(numbers, numbers, numbers.astype(np.int64))
    zeros = np.zeros(hidden, np.int32)
    epilogue = Epilogue("divide", "half_even", ones, ones, zeros, zeros, 0, 0, 255, 1 << 15, 1)
    table = np.full(513, 1 << 19, np.int32)
    parts = {"cell": "gru_after", "input": rescale, "state": rescale, "table": table, "levels": 127}
    return parts | {"epilogue": epilogue, "product": sums_of(gates * hidden, hidden), "last": None}


def test_recurrent_layers_of_other_parts_are_refused(sums_of):
    from qtool.runtime.native._kernels import Recurrent

    good = recurrent_parts(sums_of)
    Recurrent(**good)
    table = good["table"]
    for name, bad in (
        ("cell", "gru"),
        ("cell", "lstm"),
        ("cell", "gru_before"),
        ("table", table[:512]),
        ("table", table - 1),
        ("table", table + np.arange(513, 0, -1, dtype=np.int32)),
        ("table", table * 4),
        ("levels", 0),
        ("levels", 128),
        ("product", sums_of(4, 2)),
        ("product", sums_of(6, 3)),
        ("product", sums_of(6, 2, recurrent_parts(sums_of, 6)["epilogue"])),
        ("last", sums_of(2, 2)),
    ):
        with pytest.raises(ValueError, match=r"cell|table|levels|product|last|recurrent"):
            Recurrent(**good | {name: bad})


def test_sequences_of_other_shapes_are_refused(executor, sums_of):
    from qtool.runtime.native._kernels import Recurrent

    layer = Recurrent(**recurrent_parts(sums_of))
    sums, out = np.zeros((4, 3, 6), np.int32), codes(4, 3, 2)
    executor.recurrent(layer, sums, reverse=False, out=out)
    for bad in (
        (sums[:, :, :5].copy(), out),
        (sums, codes(4, 3, 3)),
        (sums[:2], out),
        (sums[:0], codes(0, 3, 2)),
    ):
        with pytest.raises(ValueError, match="recurrent"):
            executor.recurrent(layer, bad[0], reverse=False, out=bad[1])


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
