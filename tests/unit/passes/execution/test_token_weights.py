"""Weights of rows by the sums that normalizations shrink."""

from __future__ import annotations

import numpy as np

from hwmodels import load_target
from passes.api import PassContext
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.moments import Moments
from passes.execution.sources import ArraySource
from passes.execution.token_weights import normalized_sums, token_weights
from passes.ir.layers import find_layers
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text

# Squares of the rows of x + x have means 4, 4 and 400.
ROWS = np.array([[1, -1], [-1, 1], [10, -10]], np.float32)


def network(norm: str = "LayerNormalization") -> Model:
    return model_from_text(
        f"""<ir_version: 10, opset_import: ["" : 23]> net (float[N,2] x) => (float[N,2] y)
        <float[2,2] w0 = {{1.0,0.0,0.0,1.0}}, float[2,2] w1 = {{1.0,0.0,0.0,1.0}}, float[2] g = {{1.0,1.0}}>
        {{ [term] a = MatMul (x, w0)  s = Add (a, x)
           n = {norm} <axis = -1> (s, g)  [last] y = MatMul (n, w1) }}"""
    )


def weights_of(model: Model, rows: np.ndarray, batch: int) -> dict[str, list[np.ndarray]]:
    data = Dataset(
        ArraySource(("x",), len(rows), None, {"x": rows}),
        graph_inputs(model.graph),
        ("x",),
        None,
        len(rows),
        "test",
    )
    sums = normalized_sums(model.graph, find_layers(model.graph)[0])
    return token_weights(model, sums, data, batch, PassContext(load_target("generic"), workers=1))


def test_only_terms_of_normalized_sums_have_weights() -> None:
    graph = network().graph
    found = normalized_sums(graph, find_layers(graph)[0])
    assert {name: node.op for name, node in found.items()} == {"term": "LayerNormalization"}


def test_rows_count_in_inverse_proportion_to_the_square_of_their_sum() -> None:
    (found,) = weights_of(network(), ROWS, 3)["term"]
    np.testing.assert_allclose(found, 300 / 201 * np.array([1, 1, 0.01]), rtol=1e-5)
    apart = weights_of(network("RMSNormalization"), ROWS, 2)["term"]
    np.testing.assert_allclose(np.concatenate(apart), found, rtol=1e-5)


def test_a_mean_is_taken_off_where_the_normalization_does() -> None:
    shifted = ROWS + np.float32(100)
    (found,) = weights_of(network(), shifted, 3)["term"]
    np.testing.assert_allclose(found, 300 / 201 * np.array([1, 1, 0.01]), rtol=1e-3)


def test_rows_of_zeros_have_finite_weights() -> None:
    (found,) = weights_of(network(), np.zeros((2, 2), np.float32), 2)["term"]
    np.testing.assert_array_equal(found, [1, 1])


def test_moments_of_weighted_vectors() -> None:
    x = np.array([[[1.0, 0.0], [0.0, 2.0]]], np.float32)
    moments = Moments()
    moments.update(x, 2 * x, np.array([3.0, 1.0], np.float32))
    own, cross, _ = moments.products(centred=False)
    np.testing.assert_array_equal(own, [[[0.75, 0], [0, 1]]])
    np.testing.assert_array_equal(cross, 2 * own)
    np.testing.assert_array_equal(moments.means()[0], [[0.75, 0.5]])
    assert moments.count == 2
