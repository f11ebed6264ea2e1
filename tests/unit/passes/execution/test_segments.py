"""A model that runs piece by piece gives what it gives in one piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from passes.execution.dataset import Dataset, InputSpec
from passes.execution.segments import Segments
from passes.execution.session import Level, Session
from passes.execution.sources import ArraySource
from passes.execution.store import Store
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.plan import Role, TensorQuant
from passes.lowering.qdq import emit_activations
from passes.numerics import IntFormat, PerTensor, QuantParams, QuantSpec

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N,2,4,4] x) => (float[N,2,4,4] y)
<float[2,2,1,1] a = {1.0, 0.5, -0.7, 2.0}, float[2,2,1,1] b = {0.2, -0.4, 3.0, 1.1},
 float[2,2,1,1] c = {0.3, 0.1, -0.2, 0.9}, float[2] bias = {0.5, -0.5}>
{
    [first] p = Conv(x, a, bias)
    [relu] q = Relu(p)
    [left] r = Conv(q, b)
    [right] s = Conv(q, c)
    [sum] t = Add(r, s)
    [skip] u = Add(t, q)
    [last] y = Conv(u, a)
}
"""
CHOSEN = frozenset({"first", "left", "right", "last"})


@pytest.fixture
def data() -> Dataset:
    """Seven samples."""
    values = np.random.default_rng(0).standard_normal((7, 2, 4, 4)).astype(np.float32)
    inputs = (InputSpec("x", (None, 2, 4, 4), np.dtype(np.float32)),)
    return Dataset(ArraySource(("x",), 7, None, {"x": values}), inputs, ("x",), None, 7, "test")


def reference(proto: onnx.ModelProto, data: Dataset, name: str) -> np.ndarray:
    """One tensor of the model in one piece."""
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    copy.graph.output.append(onnx.ValueInfoProto(name=name))
    (feeds,) = data.batches(7)
    session = Session(copy, Level.BASIC, threads=1, keep_floats=True)
    return session.run(feeds, [name])[0]


def test_layers_of_one_depth_are_one_piece() -> None:
    segments = Segments(to_proto(model_from_text(TEXT)), CHOSEN, 1)
    assert segments.depths == {"first": 1, "left": 2, "right": 2, "last": 3}
    assert segments.piece_of("skip") == 2
    assert segments.piece_of("nothing") is None


def test_pieces_give_what_the_whole_gives_and_forget_what_is_done_with(data: Dataset) -> None:
    proto = to_proto(model_from_text(TEXT))
    segments = Segments(proto, CHOSEN, 1)
    assert segments.start(data, 3) == 7
    assert segments.store.names() == ["x"]
    segments.advance(1, {}, {})
    assert segments.store.names() == ["q"]
    segments.advance(2, {}, {})
    assert segments.store.names() == [segments.operand("last")] == ["u"]
    found = np.concatenate([batch["u"] for batch in segments.store.batches(["u"])])
    np.testing.assert_allclose(found, reference(proto, data, "u"), rtol=2e-3, atol=5e-3)


def test_weights_and_biases_are_replaced_in_their_piece(data: Dataset) -> None:
    proto = to_proto(model_from_text(TEXT))
    segments = Segments(proto, CHOSEN, 1)
    segments.start(data, 7)
    segments.advance(1, {}, {})
    zeros = np.zeros((2, 2, 1, 1), np.float32)
    bias = np.array([1.0, 2.0], np.float32)
    segments.advance(2, {"b": zeros, "c": zeros, "left.bias": bias}, {"left": "left.bias"})
    (found,) = segments.store.batches(["u"])
    expected = reference(proto, data, "q") + bias[:, None, None]
    np.testing.assert_allclose(found["u"], expected, atol=5e-3)


def test_quantized_activations_wait_as_codes(data: Dataset) -> None:
    spec = QuantSpec(IntFormat(8, signed=False), PerTensor(), symmetric=False)
    params = QuantParams(np.float32(0.0625), np.int32(100))
    acts = {name: TensorQuant(Role.ACT, spec, params) for name in ("x", "q", "u")}
    proto = emit_activations(to_proto(model_from_text(TEXT)), acts)
    segments = Segments(proto, CHOSEN, 1)
    segments.start(data, 7)
    for depth in (1, 2):
        segments.advance(depth, {}, {})
    name = segments.operand("last")
    (found,) = segments.store.batches([name])
    assert found[name].dtype == np.uint8
    np.testing.assert_array_equal(found[name], reference(proto, data, name))


def test_what_does_not_fit_in_memory_goes_to_disk_and_leaves_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store, rng = Store(limit=100), np.random.default_rng(0)
    batches = [rng.integers(0, 255, 60, dtype=np.uint8) for _ in range(4)]
    for batch in batches:
        store.add({"t": batch})
    assert len(list(tmp_path.rglob("*.npy"))) == 3
    for expected, found in zip(batches, store.batches(["t"]), strict=True):
        np.testing.assert_array_equal(found["t"], expected)
    store.clear()
    assert not list(tmp_path.rglob("*.npy"))
    store.add({"t": batches[0]})
    assert not list(tmp_path.rglob("*.npy"))


def test_large_numbers_do_not_wait_as_halves() -> None:
    store = Store()
    store.add({"small": np.array([1.5], np.float32), "large": np.array([1e6], np.float32)})
    assert next(store.compact("small")).dtype == np.float16
    assert next(store.compact("large")).dtype == np.float32
    (both,) = store.batches(["small", "large"])
    assert (both["small"].dtype, both["small"][0], both["large"][0]) == (np.float32, 1.5, 1e6)
