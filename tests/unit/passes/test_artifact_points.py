"""Points of weights in the artifact: added up by hand, kept by the file, refused where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.artifact.points import Points
from passes.artifact.runs import Runs
from passes.errors import ArtifactError
from passes.numerics import IntFormat

ATTRS = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}


def points(counts: tuple[int, ...] = (2, 1), multiplier: tuple[int, ...] = (16, 3, 1)) -> Points:
    return Points(np.array(counts, np.int64), np.array(multiplier, np.int64))


def weight(
    rows: int = 3, bits: int = 4, layout: WeightLayout = WeightLayout.OUT_IN, *, signed: bool = True
) -> PackedWeight:
    shape = (rows, 2, 1, 2) if layout is not WeightLayout.IN_OUT else (2, rows, 1, 2)
    fmt = IntFormat(bits, signed)
    codes = np.random.default_rng(1).integers(fmt.qmin, fmt.qmax + 1, shape)
    scale, zero = np.array([0.5, 0.25], np.float32), np.zeros(1, np.int64)
    return PackedWeight.pack(codes, name="w", layout=layout, fmt=fmt, scale=scale, zero_point=zero)


def artifact(packed: PackedWeight, op: str = "conv") -> Artifact:
    x, y = TensorInfo("x", (None, 2, 4, 4), 8, False, 0.5, 3), TensorInfo("y", (None, 2, 4, 3))
    attrs = ATTRS | ({"output_padding": [0, 0]} if op == "conv_transpose" else {})
    step = Step(op, "step", ("x",), "y", attrs, packed)
    tensors = {"x": x, "y": y}
    return Artifact("q", "ab", "generic", "half_even", "exact", ("x",), ("y",), tensors, (step,))


def test_rows_of_a_channel_are_added_up() -> None:
    codes = np.array([[1, -2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(points().combine(codes, 0), [[16 + 9, -32 + 12], [5, 6]])
    np.testing.assert_array_equal(points().combine(codes.T, 1), [[16 + 9, 5], [-32 + 12, 6]])
    assert points().channels.tolist() == [0, 0, 1]


def test_the_file_keeps_them(tmp_path: Path) -> None:
    packed = replace(weight(), points=points())
    artifact(packed).save(tmp_path / "model.qpk")
    found = Artifact.load(tmp_path / "model.qpk").steps[0].weight
    assert found is not None
    assert found.points is not None
    assert found.points.counts.tolist() == [2, 1]
    assert found.points.multiplier.tolist() == [16, 3, 1]
    assert (found.channels(0), found.channels(1), found.shape[0]) == (2, 2, 3)
    np.testing.assert_array_equal(found.unpack(), packed.unpack())


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (points((2, 2)), "3 rows, but points for 4"),
        (points((2, 1), (16, 3)), "3 rows, but points for 3 and 2 multipliers"),
        (points((3, 0)), r"1\.\.16 points"),
        (points((17, -14)), r"1\.\.16 points"),
        (points((), (1, 1, 1)), r"1\.\.16 points"),
        (points((2, 1), (16, 0, 1)), r"outside 1\.\.255"),
        (points((2, 1), (256, 1, 1)), r"outside 1\.\.255"),
    ],
)
def test_points_that_do_not_fit_are_refused(found: Points, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        replace(weight(), points=found)


def test_other_weights_cannot_have_them() -> None:
    with pytest.raises(ArtifactError, match="signed weight of 8 bits or less"):
        replace(weight(bits=16), points=points())
    with pytest.raises(ArtifactError, match="signed weight of 8 bits or less"):
        replace(weight(signed=False), points=points())
    with pytest.raises(ArtifactError, match="one zero point, 0"):
        replace(weight(), zero_point=np.ones(1, np.int64), points=points())
    runs = Runs(16, np.ones((3, 2), np.int64))
    with pytest.raises(ArtifactError, match="without groups"):
        replace(weight(), runs=runs, points=points())


def test_what_they_add_up_to_has_sixteen_bits() -> None:
    replace(weight(bits=8), points=points((2, 1), (255, 1, 1)))
    with pytest.raises(ArtifactError, match="add up to more than 16 bits"):
        replace(weight(bits=8), points=points((2, 1), (255, 2, 1)))


def test_only_products_and_convolutions_take_them() -> None:
    packed = replace(weight(layout=WeightLayout.IN_OUT), points=points())
    with pytest.raises(ArtifactError, match="only gemm and conv take weights with groups or points"):
        artifact(packed, "conv_transpose")


def test_scales_and_biases_are_one_for_each_channel() -> None:
    with pytest.raises(ArtifactError, match="expected 1 or 2 scales"):
        artifact(replace(weight(), scale=np.full(3, 0.5, np.float32), points=points()))
