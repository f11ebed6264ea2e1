"""Weights as indices of levels in the artifact: decoded by hand, kept by the file, refused where strange."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.artifact.points import Points
from passes.artifact.runs import Runs
from passes.errors import ArtifactError, UsageError
from passes.numerics import IntFormat
from qtool.runtime import Engine
from qtool.runtime.native_engine import NativeEngine

LEVELS = (-77, 3, 100)
CODES = np.array([[-77, 3], [100, 3], [3, 100]], np.int8)


def weight(levels: tuple[int, ...] = LEVELS, codes: np.ndarray = CODES) -> PackedWeight:
    scale = np.array([0.5, 0.25, 1.0], np.float32)
    return PackedWeight.pack_levels(codes, levels, name="w", layout=WeightLayout.OUT_IN, scale=scale)


def artifact(packed: PackedWeight) -> Artifact:
    x, y = TensorInfo("x", (None, 2), 8, True, 0.5, 0), TensorInfo("y", (None, 3))
    step = Step("gemm", "step", ("x",), "y", {}, packed)
    return Artifact("q", "ab", "generic", "half_even", "exact", ("x",), ("y",), {"x": x, "y": y}, (step,))


def test_codes_are_the_levels_of_two_bits_each() -> None:
    packed = weight()
    assert (packed.bits, packed.format, packed.nbytes) == (2, IntFormat(8), 2 * 64 + 3)
    np.testing.assert_array_equal(packed.unpack(), CODES)
    assert packed.unpack().dtype == np.int8
    plain = packed.decoded()
    assert (plain.bits, plain.levels, plain.nbytes) == (8, None, 8 * 64)
    np.testing.assert_array_equal(plain.unpack(), CODES)
    assert plain.decoded() is plain


def test_the_file_keeps_them(tmp_path: Path) -> None:
    artifact(weight()).save(tmp_path / "model.qpk")
    found = Artifact.load(tmp_path / "model.qpk").steps[0].weight
    assert found is not None
    assert (found.levels, found.bits) == (LEVELS, 2)
    np.testing.assert_array_equal(found.data, weight().data)


@pytest.mark.parametrize("engine", [Engine, NativeEngine])
def test_engines_multiply_levels(engine: type[Engine]) -> None:
    (found,) = engine(artifact(weight())).run({"x": np.array([[1.0, -2.0]], np.float32)}).values()
    np.testing.assert_array_equal(found, [[-77 * 0.5 - 3 * 2 * 0.5, 100 * 0.25 - 6 * 0.25, 3 - 200]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": (3, -77, 100)}, "ascending"),
        ({"levels": (3, 3, 100)}, "ascending"),
        ({"levels": (3,)}, "2 to 128 levels"),
        ({"levels": ()}, "2 to 128 levels"),
        ({"levels": (-77, 3, 128)}, r"levels in -128\.\.127"),
        ({"levels": (-129, 3, 5)}, r"levels in -128\.\.127"),
        ({"levels": (1, 2, 3, 4, 5)}, "5 levels for indices of 2 bits"),
        ({"signed": False}, "signed weight"),
        ({"zero_point": np.ones(1, np.int64)}, "zero points of 0"),
        ({"points": Points(np.array([2, 1]), np.array([1, 1, 1]))}, "no parts"),
        ({"runs": Runs(16, np.ones((3, 1), np.int64))}, "no parts"),
        ({"bits": 8, "data": np.zeros(8 * 64, np.uint8)}, "indices of 8 bits"),
        ({"bits": 3}, "expected 192 bytes, found 128"),
    ],
)
def test_strange_tables_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ArtifactError, match=f"weight 'w': .*{message}"):
        replace(weight(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", [Engine, NativeEngine])
def test_an_index_outside_the_table_is_refused(engine: type[Engine]) -> None:
    damaged = replace(weight(), levels=LEVELS[:2])
    with pytest.raises(ArtifactError, match=r"index 2 of 2 levels"):
        engine(artifact(damaged)).run({"x": np.zeros((1, 2), np.float32)})


def test_rows_of_a_table_of_codes_are_no_indices() -> None:
    index, y = TensorInfo("x", (None,), 32, True), TensorInfo("y", (None, 2), 2, True, 0.5)
    packed = replace(weight(), scale=np.array([0.5], np.float32))
    tensors, step = {"x": index, "y": y}, Step("embedding", "step", ("x",), "y", {}, packed)
    with pytest.raises(ArtifactError, match="not of indices of levels"):
        Artifact("q", "ab", "generic", "half_even", "exact", ("x",), ("y",), tensors, (step,))


def test_codes_that_are_no_levels_are_not_packed() -> None:
    with pytest.raises(UsageError, match="among the levels"):
        weight(codes=CODES + np.int8(1))
