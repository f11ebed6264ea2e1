"""Multipliers of groups in the artifact: kept by the file, and refused where they do not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.artifact.runs import Runs
from passes.errors import ArtifactError
from passes.numerics import IntFormat

ATTRS = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}


def weight(shape=(3, 40, 1, 2), bits=4, layout=WeightLayout.OUT_IN, zero=0):
    fmt = IntFormat(bits)
    codes = np.random.default_rng(1).integers(fmt.qmin, fmt.qmax + 1, shape)
    scale, zeros = np.full(shape[0], 0.5, np.float32), np.full(1, zero)
    return PackedWeight.pack(codes, name="w", layout=layout, fmt=fmt, scale=scale, zero_point=zeros)


def grouped(size=16):
    factors = np.random.default_rng(2).integers(1, 256, (3, -(-40 // size), 1, 2))
    return factors, weight().grouped(factors, size)


def artifact(packed, op="conv"):
    x, y = TensorInfo("x", (None, 40, 4, 4), 8, False, 0.5, 3), TensorInfo("y", (None, 3, 4, 3))
    tensors = {"x": x, "y": y}
    attrs = ATTRS | ({"output_padding": [0, 0]} if op == "conv_transpose" else {})
    step = Step(op, "step", ("x",), "y", attrs, packed)
    return Artifact("q", "ab", "generic", "half_even", "exact", ("x",), ("y",), tensors, (step,))


def test_multipliers_are_those_of_the_stored_codes():
    factors, packed = grouped()
    spread = packed.runs.spread(packed.unpack_stored().shape)
    onnx_order = spread.transpose(np.argsort(packed.layout.order(4)))
    np.testing.assert_array_equal(onnx_order, np.repeat(factors, 16, axis=1)[:, :40])


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_the_file_keeps_them(tmp_path, size):
    packed = grouped(size)[1]
    path = tmp_path / "model.qpk"
    artifact(packed).save(path)
    found = Artifact.load(path).steps[0].weight
    assert found.runs.size == size
    np.testing.assert_array_equal(found.runs.multiplier, packed.runs.multiplier)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: weight().grouped(np.ones((3, 2, 1, 2), int), 20), "groups of"),
        (lambda: weight().grouped(np.ones((3, 2, 1, 2), int), 16), "multipliers of shape"),
        (lambda: weight().grouped(np.full((3, 3, 1, 2), 256), 16), r"outside 1\.\.255"),
        (lambda: weight().grouped(np.zeros((3, 3, 1, 2), int), 16), r"outside 1\.\.255"),
        (lambda: weight(bits=16).grouped(np.ones((3, 3, 1, 2), int), 16), "8 bits or less"),
        (lambda: weight(zero=1).grouped(np.ones((3, 3, 1, 2), int), 16), "zero points of 0"),
        (
            lambda: replace(
                weight((3, 40, 1, 2), layout=WeightLayout.GROUPED), runs=Runs(16, np.ones((3, 6), int))
            ),
            "stored as a matrix",
        ),
    ],
)
def test_multipliers_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ArtifactError, match=message):
        change()


def test_only_products_and_convolutions_take_them():
    packed = weight((40, 3, 1, 2), layout=WeightLayout.IN_OUT)
    packed = replace(packed, scale=packed.scale[:1]).grouped(np.ones((3, 3, 1, 2), int), 16)
    with pytest.raises(ArtifactError, match="only gemm and conv take weights with groups"):
        artifact(packed, "conv_transpose")
