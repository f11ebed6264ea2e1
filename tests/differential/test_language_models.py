"""Language models in the packed form: token ids, masks, rotary tables and lengths known at run time only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.artifact import Artifact
from passes.errors import DataError
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.session import Level, Session
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto, read_model, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from passes.numerics import RangeMethod
from passes.transform.assign_scales import AssignScales
from passes.transform.canonicalize import Canonicalize
from qtool.agreement import layer_agreement
from qtool.runtime import Engine
from qtool.runtime.native import is_built
from qtool.runtime.native_engine import NativeEngine

DECODER = """
<ir_version: 8, opset_import: ["" : 17]>
decoder (int64[N,T] tokens) => (float[N,T,V] logits)
<int64 unit = {1}, int64[1] first = {0}, int64[1] second = {1}, float two = {2}, float eps = {1e-5},
 float[1] half = {0.5}, float[8] gain = {1, 2, 1, 1, 0.5, 1, 1, 1}>
{
    x = Gather(embeddings, tokens)
    s = Shape(tokens) t0 = Gather(s, unit) t = Unsqueeze(t0, first)
    place = Slice(positions, first, t, first) h = Add(x, place)
    p = Pow(h, two) v = ReduceMean<axes = [-1]>(p) a = Add(v, eps) r = Sqrt(a) n = Div(h, r) g = Mul(n, gain)
    [query] q = MatMul(g, w0) [key] k0 = MatMul(g, w1) qb = Add(q, b0)
    turn = Slice(rotary, first, t, first) qr = Mul(qb, turn) kr = Mul(k0, turn) d = Sub(qr, kr)
    k = Transpose<perm = [0, 2, 1]>(kr)
    [scores] c0 = MatMul(d, k) c = Mul(c0, half)
    m0 = Slice(causal, first, t, first) m = Slice(m0, first, t, second)
    masked = Add(c, m) shares = Softmax<axis = -1>(masked)
    [mixed] o = MatMul(shares, g) y = Add(h, o)
    [gate] u = MatMul(y, w2) sig = Sigmoid(u) silu = Mul(u, sig)
    [head] logits = MatMul(silu, w3)
}
"""
ENCODER = """
<ir_version: 8, opset_import: ["" : 17]>
encoder (int64[N,T] tokens, int64[N,T] mask) => (float[N,C] logits)
<int64[1] second = {1}, int64[1] last = {-1}, float zero = {0}, float low = {-1e30}, float one = {1},
 float tiny = {1e-12}>
{
    x = Gather(embeddings, tokens)
    [query] q = MatMul(x, w0) k = Transpose<perm = [0, 2, 1]>(x)
    [scores] c = MatMul(q, k)
    b = Cast<to = 9>(mask) deep = Unsqueeze(b, second) m = Where(deep, zero, low)
    masked = Add(c, m) shares = Softmax<axis = -1>(masked)
    [mixed] o = MatMul(shares, x)
    f0 = Cast<to = 1>(mask) f = Unsqueeze(f0, last) kept = Mul(o, f)
    total = ReduceSum<keepdims = 0>(kept, second) count = ReduceSum<keepdims = 0>(f, second)
    bound = Clip(count, one) mean = Div(total, bound)
    l = ReduceL2<axes = [-1]>(mean) lc = Clip(l, tiny) unit = Div(mean, lc)
    [head] logits = MatMul(unit, w2)
}
"""
LONGEST, ROWS = 6, 10


def build(text: str) -> Model:
    """Add random weights and the tables, of which the causal mask holds -1e4 above the diagonal."""
    rng = np.random.default_rng(11)
    proto = parser.parse_model(text)
    shapes = {"embeddings": (ROWS, 8), "positions": (LONGEST, 8), "rotary": (LONGEST, 8), "b0": (8,)}
    shapes |= {"w0": (8, 8), "w1": (8, 8), "w2": (8, 5), "w3": (5, ROWS)}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["causal"] = np.triu(np.full((LONGEST, LONGEST), -1e4, np.float32), 1)
    used = {name for node in proto.graph.node for name in node.input}
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used]
    proto.graph.initializer.extend(tensors)
    return model_from_proto(proto, "test", "")


def feeds(samples: int, length: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(length)
    mask = np.ones((samples, length), np.int64)
    mask[0, length // 2 :] = 0
    return {"tokens": rng.integers(0, ROWS, (samples, length)), "mask": mask}


def lowered(text: str, bits: int = 8) -> tuple[onnx.ModelProto, Artifact, Dataset]:
    model = build(text)
    arrays = {tensor.name: feeds(6, LONGEST)[tensor.name] for tensor in model.graph.inputs}
    ctx = PassContext(load_target("generic"), workers=1)
    inputs = graph_inputs(model.graph)
    ctx.calibration = Dataset(
        ArraySource(tuple(arrays), 6, None, arrays), inputs, tuple(arrays), None, 6, "test"
    )
    Canonicalize().run(model, ctx)
    setup = quantizer_setup(model.graph, ctx.target)
    assert setup.unquantized == ()
    model.plan = plan_of_bits(setup, {layer.name: Precision(bits, bits) for layer in setup.layers})
    AssignScales(method=RangeMethod.MINMAX).run(model, ctx)
    packed = emit_packed(model, setup, Origin("test", "generic", "half_even"))
    return emit_qdq(model, setup, Form.QDQ), packed, ctx.calibration


@pytest.mark.parametrize("text", [DECODER, ENCODER], ids=["decoder", "encoder"])
@pytest.mark.parametrize("bits", [8, 4])
def test_every_step_is_at_most_one_apart(text: str, bits: int) -> None:
    qdq, artifact, data = lowered(text, bits)
    found = layer_agreement(qdq, artifact, data, 6, 1)
    assert {layer.name for layer in found} >= {"query", "scores", "mixed", "head"}
    assert max(layer.max_lsb for layer in found) <= 1


@pytest.mark.parametrize("text", [DECODER, ENCODER], ids=["decoder", "encoder"])
@pytest.mark.parametrize("length", [1, 2, LONGEST])
def test_both_engines_take_any_length(text: str, length: int, tmp_path: Path) -> None:
    lowered(text)[1].save(tmp_path / "model.qpk")
    artifact = Artifact.load(tmp_path / "model.qpk")
    given = {name: feeds(3, length)[name] for name in artifact.inputs}
    reference = Engine(artifact).run(given)["logits"]
    alone = [Engine(artifact).run({k: v[at : at + 1] for k, v in given.items()})["logits"] for at in range(3)]
    np.testing.assert_array_equal(np.concatenate(alone), reference)
    if is_built():
        np.testing.assert_array_equal(NativeEngine(artifact).run(given)["logits"], reference)


def test_a_hidden_token_changes_nothing() -> None:
    artifact = lowered(ENCODER)[1]
    given = feeds(2, LONGEST)
    other = given | {"tokens": np.where(given["mask"] == 0, 0, given["tokens"])}
    first, second = (Engine(artifact).run(it)["logits"] for it in (given, other))
    np.testing.assert_array_equal(first, second)


def test_a_later_token_changes_nothing_before_it() -> None:
    artifact = lowered(DECODER)[1]
    tokens = feeds(2, LONGEST)["tokens"]
    changed = tokens.copy()
    changed[:, -1] = (tokens[:, -1] + 1) % ROWS
    first, second = (Engine(artifact).run({"tokens": it})["logits"] for it in (tokens, changed))
    np.testing.assert_array_equal(first[:, :-1], second[:, :-1])
    assert not np.array_equal(first[:, -1], second[:, -1])


def test_more_tokens_than_positions_are_refused() -> None:
    artifact = lowered(DECODER)[1]
    with pytest.raises(DataError, match=f"the model has a table for {LONGEST} at the most"):
        Engine(artifact).run({"tokens": np.zeros((1, LONGEST + 1), np.int64)})


@pytest.mark.parametrize("name", ["stories260k_llama", "minilm_l6_sst2"])
def test_real_models_stay_the_same_and_are_integer_throughout(shared_data: Path, name: str) -> None:
    path = shared_data / "models" / f"{name}.onnx"
    model = read_model(path)
    Canonicalize().run(model, PassContext(load_target("generic")))
    assert quantizer_setup(model.graph).unquantized == ()
    rng = np.random.default_rng(4)
    given = {tensor.name: rng.integers(0, 2, (2, 7)) for tensor in model.graph.inputs}
    given[model.graph.inputs[0].name] = rng.integers(3, 500, (2, 7))
    if "attention_mask" in given:
        given["attention_mask"][:, 0] = 1
    protos = (to_proto(read_model(path)), to_proto(model))
    before, after = (Session(proto, Level.BASIC, 1).run(given)[0] for proto in protos)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


FIXED = """
<ir_version: 8, opset_import: ["" : 17]>
fixed (float[N,6,8] x) => (float[N,A,B] y)
{
    [query] q = MatMul(x, w0) k = Transpose<perm = [0, 2, 1]>(x) [scores] c = MatMul(q, k)
    masked = Add(c, causal) shares = Softmax<axis = -1>(masked) [mixed] y = MatMul(shares, x)
}
"""


def test_a_mask_of_fixed_size_is_a_constant_of_bits() -> None:
    model = build(FIXED)
    Canonicalize().run(model, PassContext(load_target("generic")))
    setup = quantizer_setup(model.graph)
    assert setup.unquantized == ()
    assert [layer.name for layer in setup.layers] == ["query", "scores", "mixed"]
