"""Normalizations that layers and sums both read."""

from __future__ import annotations

import numpy as np

from hwmodels.registry import load_target
from passes.api import Aspect, PassContext
from passes.execution.session import Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.setup import quantizer_setup
from passes.testing import check_pass
from passes.transform.smooth_sites import find_sites
from passes.transform.split_norms import SplitNorms

SUM = "z = Add (n, h)  y = LayerNormalization <axis = -1> (z, g1)  out = MatMul (y, w1)"


def network(rest: str = SUM) -> Model:
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 17]> net (float[N,2] x) => (float[N,2] out)
        <float[2,2] w0 = {{1.0,2.0,3.0,-1.0}}, float[2,2] w1 = {{1.0,0.5,-1.0,1.0}},
         float[2] g0 = {{1.0,3.0}}, float[2] g1 = {{1.0,1.0}}, int64[2] shape = {{-1,2}},
         float[2,2] w2 = {{1.0,0.0,0.5,1.0}}>
        {{ a = MatMul (x, w2)  [first] n = LayerNormalization <axis = -1> (a, g0)
           r = Reshape (n, shape)  h = MatMul (r, w0)  {rest} }}"""
    )


def result_of(model: Model) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((3, 2)).astype(np.float32)
    return np.asarray(Session(to_proto(model), threads=1).run({"x": x})[0])


def test_the_layers_get_a_normalization_of_their_own() -> None:
    model, ctx = network(), PassContext(load_target("generic"))
    before = result_of(model)
    assert SplitNorms().run(model, ctx).wrote is Aspect.GRAPH | Aspect.WEIGHTS
    np.testing.assert_array_equal(result_of(model), before)
    groups = quantizer_setup(model.graph, ctx.target).group_of()
    assert groups["n"].unread_bits == 16
    assert not groups["n"].readers
    assert len(groups["n.layers"].readers) == 1
    layers = quantizer_setup(model.graph, ctx.target).layers
    assert "first.layers" in {site.name for site in find_sites(model.graph, layers)}


def test_a_second_run_finds_nothing() -> None:
    model, ctx = network(), PassContext(load_target("generic"))
    SplitNorms().run(model, ctx)
    assert SplitNorms().run(model, ctx).wrote is Aspect.NONE


def test_what_only_layers_read_stays_whole() -> None:
    model = network("out = Relu (h)")
    assert SplitNorms().run(model, PassContext(load_target("generic"))).wrote is Aspect.NONE


def test_targets_without_16_bits_gain_nothing() -> None:
    assert SplitNorms().run(network(), PassContext(load_target("tensorcore-t4"))).wrote is Aspect.NONE


def test_it_keeps_the_promises_of_a_pass() -> None:
    check_pass(SplitNorms(), network, lambda: PassContext(load_target("generic")), same_outputs=True)
