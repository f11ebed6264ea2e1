"""Steps that move codes, and the float tail."""

from __future__ import annotations

import numpy as np
import pytest

from passes.artifact import OPS
from passes.errors import ArtifactError
from qtool.runtime.engine import BUILDERS

X = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)

CASES = [
    ("identity", {}, X),
    ("reshape", {"shape": [0, -1]}, X.reshape(2, 12)),
    ("flatten", {"axis": 2}, X.reshape(6, 4)),
    ("flatten", {"axis": 0}, X.reshape(1, 24)),
    ("flatten", {"axis": -1}, X.reshape(6, 4)),
    ("transpose", {"perm": [2, 0, 1]}, X.transpose(2, 0, 1)),
    ("unsqueeze", {"axes": [0, -1]}, X[None, ..., None]),
    ("slice", {"starts": [1, -3], "ends": [9, -1], "axes": [1, 2], "steps": [1, 1]}, X[:, 1:, 1:3]),
    ("slice", {"starts": [-1], "ends": [-(2**63)], "axes": [2], "steps": [-1]}, X[:, :, ::-1]),
    ("slice", {"starts": [3], "ends": [-4], "axes": [2], "steps": [-2]}, X[:, :, 3:0:-2]),
    ("pad", {"pads": [0, 1, 0, 0, 0, 2]}, np.pad(X, ((0, 0), (1, 0), (0, 2)), constant_values=5)),
    ("expand", {"shape": [2, 1, 3, 1]}, np.broadcast_to(X, (2, 2, 3, 4))),
]


@pytest.mark.parametrize(("op", "attrs", "expected"), CASES)
def test_movers(run_one, info, op, attrs, expected):
    x = X[:1] if op == "expand" else X
    expected = np.broadcast_to(x, (2, 1, 3, 4)) if op == "expand" else expected
    out = run_one(op, [x], [info("x", 3, zero=5)], info("y", 1, zero=5), attrs=attrs)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, expected)


def test_squeeze(run_one, info):
    out = run_one("squeeze", [X[:, None]], [info("x", 4)], info("y", 3), attrs={"axes": [1]})
    np.testing.assert_array_equal(out, X)


def test_gather_takes_a_table_of_any_shape(run_one, info):
    attrs = {"axis": 1, "shape": [2, 1]}
    out = run_one("gather", [X], [info("x", 3)], info("y", 4), attrs=attrs, table=np.array([2, -3]))
    np.testing.assert_array_equal(out, np.take(X, [[2], [0]], 1))
    scalar = {"axis": 0, "shape": []}
    out = run_one("gather", [X], [info("x", 3)], info("y", 2), attrs=scalar, table=np.array([1]))
    np.testing.assert_array_equal(out, X[1])


def test_resize_repeats_elements(run_one, info):
    attrs = {"axes": [1, 2], "sizes": [2, 3]}
    table = np.array([0, 2, 3, 3, 0])
    out = run_one("resize", [X], [info("x", 3)], info("y", 3), attrs=attrs, table=table)
    np.testing.assert_array_equal(out, X[:, [0, 2]][:, :, [3, 3, 0]])


def test_upsample_repeats_elements_of_any_extent(run_one, info):
    attrs = {"axes": [1, 2], "factors": [2, 3]}
    out = run_one("upsample", [X], [info("x", 3)], info("y", 3), attrs=attrs)
    np.testing.assert_array_equal(out, X.repeat(2, 1).repeat(3, 2))


def test_an_absurd_upsample_is_refused_before_it_is_made(run_one, info):
    attrs = {"axes": [0, 1], "factors": [1 << 16, 1 << 16]}
    with pytest.raises(ArtifactError, match="more than"):
        run_one("upsample", [[[0]]], [info("x", 2)], info("y", 2), attrs=attrs)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_equals_onnx_runtime(rng, run_one, info, onnx_node, mode):
    x = rng.integers(0, 256, (2, 12, 2, 3))
    attrs = {"blocksize": 2, "mode": mode}
    out = run_one("depth_to_space", [x], [info("x", 4)], info("y", 4), attrs=attrs)
    np.testing.assert_array_equal(out, onnx_node("DepthToSpace", [x], **attrs))


def test_shapes_that_do_not_fit_name_the_step(run_one, info):
    with pytest.raises(ArtifactError, match=r"step 'step' \(reshape\): cannot work on shapes"):
        run_one("reshape", [X], [info("x", 3)], info("y", 1), attrs={"shape": [5]})


def test_an_absurd_expansion_is_refused_before_it_is_made(run_one, info):
    with pytest.raises(ArtifactError, match="more than"):
        run_one("expand", [[[0]]], [info("x", 2)], info("y", 2), attrs={"shape": [1 << 20, 1 << 20]})


@pytest.mark.parametrize(
    ("op", "node"), [("softmax", "Softmax"), ("log_softmax", "LogSoftmax"), ("sigmoid", "Sigmoid")]
)
def test_float_tail_equals_onnx_runtime(rng, run_one, info, onnx_node, op, node):
    x = rng.normal(0, 40, (3, 5)).astype(np.float32)
    attrs = {} if op == "sigmoid" else {"axis": -1}
    out = run_one(op, [x], [info("x", 2, None)], info("y", 2, None), attrs=attrs)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, onnx_node(node, [x], **attrs), rtol=1e-5, atol=1e-7)


def test_every_operation_has_a_kernel():
    assert set(BUILDERS) == set(OPS)
