"""The native engine as a whole: memory shared and kept, slices, single steps, threads and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from passes.artifact import Artifact, Step, TensorInfo
from passes.errors import ArtifactError, DataError, UsageError
from qtool.runtime import Engine, open_engine
from qtool.runtime.choice import FELL_BACK
from qtool.runtime.native import is_built
from qtool.runtime.native_engine import NativeEngine

needs_kernels = pytest.mark.skipif(not is_built(), reason="the native kernels are not built")

EIGHT = (8, True, 0.25, 3)
POINT = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}
POOL = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0}


def program(pack: Any, shapes: dict[str, int], steps: list[Step], outputs: tuple[str, ...]) -> Artifact:
    """Tensors of these ranks, all of the same numbers, or float32 where the name says so."""
    tensors = {
        name: TensorInfo(name, (None,) * rank, *(() if name.startswith("float") else EIGHT))
        for name, rank in shapes.items()
    }
    return Artifact("t", "", "g", "half_even", "exact", ("x",), outputs, tensors, tuple(steps))


def residual(pack: Any) -> Artifact:
    """A block with a shortcut, a constant, a gate, views, a mover without a kernel, and a float tail."""
    weight = pack(np.arange(16).reshape(4, 4, 1, 1) % 5 - 2, scale=[0.25])
    last = pack(np.arange(32).reshape(2, 16) % 7 - 3, scale=[0.125])
    steps = [
        Step("conv", "c1", ("x",), "a", POINT, weight),
        Step("requantize", "relu", ("a",), "b", lo=3),
        Step("conv", "c2", ("b",), "c", POINT, weight),
        Step("add", "sum", ("c", "x"), "d"),
        Step("constant", "k", (), "k", {"shape": [4, 1, 1]}, table=np.array([5, -7, 0, 9])),
        Step("mul", "scale", ("d", "k"), "e"),
        Step("global_average_pool", "squeeze", ("e",), "g"),
        Step("mul", "gate", ("e", "g"), "h"),
        Step("max_pool", "pool", ("h",), "i", POOL),
        Step("depth_to_space", "shuffle", ("i",), "j", {"blocksize": 2, "mode": "DCR"}),
        Step("transpose", "turn", ("i",), "t", {"perm": [0, 2, 3, 1]}),
        Step("flatten", "flat", ("j",), "m", {"axis": 1}),
        Step("gemm", "fc", ("m",), "float_y", weight=last),
        Step("softmax", "softmax", ("float_y",), "float_p", {"axis": 1}),
    ]
    ranks = dict.fromkeys("xabcdeghijt", 4) | {"k": 3, "m": 2, "float_y": 2, "float_p": 2}
    return program(pack, ranks, steps, ("float_p", "t", "b"))


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 8, (5, 4, 4, 4)).astype(np.float32)


@needs_kernels
@pytest.mark.parametrize("threads", [1, 3])
def test_a_block_has_the_bits_of_the_reference(pack: Any, images: np.ndarray, threads: int) -> None:
    artifact = residual(pack)
    reference, native = Engine(artifact), NativeEngine(artifact, threads)
    for name, codes in reference.trace({"x": images}).items():
        np.testing.assert_array_equal(native.trace({"x": images})[name], codes, err_msg=name, strict=True)
    for x in (images, images[:2], images.astype(np.float64), np.asfortranarray(images), images):
        for name, values in reference.run({"x": x}).items():
            np.testing.assert_array_equal(native.run({"x": x})[name], values, err_msg=name, strict=True)


@needs_kernels
def test_slices_of_a_batch_give_what_the_whole_gives(
    pack: Any, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = NativeEngine(residual(pack)).run({"x": images})
    monkeypatch.setattr("qtool.runtime.native_engine.engine.SLICE_SAMPLES", 2)
    for name, values in NativeEngine(residual(pack)).run({"x": images}).items():
        np.testing.assert_array_equal(values, whole[name])


@needs_kernels
def test_memory_is_shared_by_tensors_that_never_meet(pack: Any) -> None:
    ranks = dict.fromkeys("xabcd", 2)
    table = np.arange(256) % 100 - 50
    weight = pack(np.eye(64, dtype=int), scale=[1.0])
    steps = [
        Step("gemm", "one", ("x",), "a", weight=weight),
        Step("lut", "two", ("a",), "b", table=table),
        Step("gemm", "three", ("b",), "c", weight=weight),
        Step("gemm", "four", ("c",), "d", weight=weight),
    ]
    engine = NativeEngine(program(pack, ranks, steps, ("d",)))
    engine.run({"x": np.zeros((2, 64), np.float32)})
    # Two rows of 64 codes that are read and two that are written; the table works in place.
    assert engine.peak_bytes == 2 * 2 * 64


@needs_kernels
def test_outputs_are_not_overwritten_by_the_next_run(pack: Any, images: np.ndarray) -> None:
    engine = NativeEngine(residual(pack))
    first = engine.run({"x": images})
    kept = {name: values.copy() for name, values in first.items()}
    engine.run({"x": -images})
    for name, values in first.items():
        np.testing.assert_array_equal(values, kept[name])


@needs_kernels
def test_one_step_alone(pack: Any) -> None:
    engine = NativeEngine(residual(pack))
    codes = np.array([[[[1, -9]]]], np.int8)
    np.testing.assert_array_equal(engine.run_step("relu", {"a": codes}), [[[[3, 3]]]])
    with pytest.raises(UsageError, match="did you mean relu"):
        engine.run_step("relo", {})
    with pytest.raises(DataError, match="lacks its input 'a'"):
        engine.run_step("relu", {})
    with pytest.raises(ArtifactError, match=r"step 'sum' \(add\): cannot work on shapes"):
        engine.run_step("sum", {"c": codes, "x": np.zeros((1, 1, 1, 3), np.int8)})


@needs_kernels
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.full((1, 4, 4, 4), np.nan), DataError, "NaN"),
        (np.zeros((1, 4, 4)), DataError, "expected shape"),
        (np.zeros((1, 3, 4, 4)), ArtifactError, "expected 4 input channels"),
        (np.zeros((1, 4, 1, 1)), ArtifactError, "does not fit"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(pack: Any, x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        NativeEngine(residual(pack)).run({"x": x})


def test_auto_falls_back_and_says_so(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtool.runtime.choice.is_built", lambda: False)
    engine, note = open_engine(residual(pack))
    assert (engine.kind, note) == ("reference", FELL_BACK)
    assert open_engine(residual(pack), "reference")[1] == ""
    with pytest.raises(UsageError, match="did you mean native"):
        open_engine(residual(pack), "natve")
