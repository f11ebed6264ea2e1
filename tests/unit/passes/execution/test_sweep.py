"""A model that runs in segments gives, bit by bit, what it gives in one piece."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from hwmodels import load_target
from passes.api import PassContext
from passes.execution.collect import HISTOGRAMS, MEANS, PATCHES, ActivationStats, CollectActivations
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.feed_source import FeedSource
from passes.execution.instrument import Wanted, instrument
from passes.execution.segment import cut
from passes.execution.sweep import sweep
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto

MATRICES = ", ".join(
    f"float[4,4] w{at} = {{{','.join(str(round(v, 3)) for v in np.random.default_rng(at).normal(size=16))}}}"
    for at in range(4)
)
MATRIX_BYTES = 64
SKIPS = f"""
<ir_version: 8, opset_import: ["" : 17]> net (float[N,T,4] x, bool up) => (float[N,T,4] y, float[N,T,4] z)
<{MATRICES}, float[4] g = {{1, 2, 0.5, 1}}, float two = {{2}}>
{{
    [first] a = MatMul(x, w0)
    r = Relu(a)
    [second] b = MatMul(r, w1)
    s = Add(b, x)
    t = If(up) <
        then_branch = up_branch () => (float[N,T,4] u) {{ u = Mul(r, two) }},
        else_branch = down_branch () => (float[N,T,4] v) {{ v = Add(s, r) }}
    >
    n = LayerNormalization <axis = -1> (t, g)
    [third] c = MatMul(n, w2)
    [fourth] d = MatMul(c, w3)
    y = Add(d, a)
    z = Identity(s)
}}
"""


def samples(model: Model, rng: np.random.Generator) -> Dataset:
    """Texts of three lengths."""
    feeds = [
        {"x": rng.normal(size=(count, length, 4)).astype(np.float32), "up": np.array(length % 2 == 0)}
        for count, length in ((4, 3), (1, 6), (3, 2))
    ]
    return Dataset(FeedSource.of(feeds, "test"), graph_inputs(model.graph), ("x", "up"), None, 3, "test")


def stats(segment_bytes: int) -> ActivationStats:
    model = model_from_text(SKIPS)
    ctx = PassContext(load_target("generic"), workers=1, segment_bytes=segment_bytes)
    ctx.calibration = samples(model, np.random.default_rng(0))
    ctx.observes = frozenset({HISTOGRAMS, MEANS, PATCHES})
    return ctx.get(CollectActivations(), model)


@pytest.mark.parametrize("matrices", [1, 2, 3])
def test_segments_see_the_same_activations(matrices: int) -> None:
    whole, parts = stats(0), stats(matrices * MATRIX_BYTES + 1)
    assert whole.ranges == parts.ranges
    assert len(whole.ranges) >= 6
    assert whole.samples == parts.samples
    for name, histogram in whole.histograms.items():
        np.testing.assert_array_equal(histogram.counts, parts.histograms[name].counts)
    for name in whole.means:
        np.testing.assert_array_equal(whole.means[name], parts.means[name])
        np.testing.assert_array_equal(whole.patches[name], parts.patches[name])


def test_a_cut_is_in_front_of_a_weight() -> None:
    model = model_from_text(SKIPS)
    segments = cut(to_proto(model), MATRIX_BYTES + 20)
    assert [part.nodes[0].op_type for part in segments] == ["MatMul", "MatMul", "MatMul", "MatMul"]
    # What the If captures and what skips over segments crosses the cuts.
    assert segments[1].reads == ("r", "up", "x")
    assert segments[3].reads == ("a", "c")
    assert segments[3].results == ("y",)


def test_everything_fits_into_one_segment() -> None:
    model = model_from_text(SKIPS)
    (whole,) = cut(to_proto(model), 10 * MATRIX_BYTES)
    assert len(whole.nodes) == len(model.graph.nodes)


def test_probes_are_in_the_segment_of_what_they_observe() -> None:
    model = model_from_text(SKIPS)
    proto, probes = instrument(model, Wanted(ranged=("a", "c"), sampled={"a": 12}))
    segments = cut(proto, MATRIX_BYTES + 60)
    assert set(probes.low.values()) == {"a.low", "c.low"}
    assert {"a.low", "a.high", "a.sample"} <= set(segments[0].results)
    assert {"c.low", "c.high"} <= set(segments[2].results)


SEQUENCE = """
<ir_version: 8, opset_import: ["" : 17]> net (float[2,4] x) => (float[1,4] y)
<float[4,4] w = {1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1}, float[4,4] v = {2,0,0,0,0,2,0,0,0,0,2,0,0,0,0,2},
 int64 one = {1}>
{
    a = MatMul(x, w)
    parts = SplitToSequence <axis = 0> (a)
    b = MatMul(a, v)
    c = SequenceAt(parts, one)
    [late] d = MatMul(c, v)
    y = Add(d, d)
}
"""


def test_no_cut_goes_through_a_sequence() -> None:
    proto = to_proto(model_from_text(SEQUENCE))
    proto.graph.value_info.append(
        onnx.helper.make_tensor_sequence_value_info("parts", onnx.TensorProto.FLOAT, None)
    )
    for segment in cut(proto, 1):
        assert "parts" not in (*segment.reads, *segment.results)
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    ctx = PassContext(load_target("generic"), workers=1, segment_bytes=1)
    ((count, found),) = sweep(proto, ["y"], iter([{"x": x}]), ctx)
    assert count == 2
    np.testing.assert_array_equal(found["y"], 4 * x[1:])


QUANTIZED = """
<ir_version: 8, opset_import: ["" : 17]> net (float[N,2] x) => (float[N,2] y)
<int8[2,2] p = {1,2,3,4}, int8[2,2] q = {1,0,0,1}, float s = {0.5}>
{
    v = DequantizeLinear(p, s)
    w = DequantizeLinear(q, s)
    a = MatMul(x, v)
    y = MatMul(a, w)
}
"""


def test_weights_are_dequantized_in_the_segment_that_reads_them() -> None:
    proto = to_proto(model_from_text(QUANTIZED))
    first, second = cut(proto, 8)
    assert [node.op_type for node in first.nodes] == ["DequantizeLinear", "MatMul"]
    assert second.reads == ("a",)
