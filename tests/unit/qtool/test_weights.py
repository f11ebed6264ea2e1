"""Weight-only quantization that reads and writes a piece at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from passes.errors import ModelError, UsageError
from passes.lowering import streamed_blocks
from qtool.weights import WeightsRequest, run_weights


def quiet(stage: str, done: int, total: int) -> None:
    """Show no progress."""


def model(folder: Path, kind: type = np.float32, *, external: bool = True) -> Path:
    """A MatMul, a Gemm with ``transB`` and a bias, and a Gather whose table stays as it is."""
    rng = np.random.default_rng(0)
    values = {"w": rng.normal(size=(70, 48)), "g": rng.normal(size=(24, 48)), "b": rng.normal(size=24)}
    values |= {"table": rng.normal(size=(40, 70))}
    nodes = [
        helper.make_node("Gather", ["table", "i"], ["x"], "gather"),
        helper.make_node("MatMul", ["x", "w"], ["h"], "product"),
        helper.make_node("Gemm", ["h", "g", "b"], ["y"], "gemm", transB=1),
        helper.make_node("MatMul", ["h", "h2"], ["z"], "computed"),
        helper.make_node("Transpose", ["h"], ["h2"], "turn"),
    ]
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    ends = [helper.make_tensor_value_info("i", TensorProto.INT64, ["n"])]
    outs = [helper.make_tensor_value_info(name, element, None) for name in ("y", "z")]
    graph = helper.make_graph([*nodes[:3], nodes[4], nodes[3]], "net", ends, outs)
    data = b""
    for name, value in values.items():
        tensor = numpy_helper.from_array(value.astype(kind), name)
        if external:
            place = {"location": "net.data", "offset": len(data), "length": len(tensor.raw_data)}
            data += tensor.raw_data
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, entry in place.items():
                tensor.external_data.add(key=key, value=str(entry))
        graph.initializer.append(tensor)
    (folder / "net.data").write_bytes(data)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "net.onnx").write_bytes(proto.SerializeToString())
    return folder / "net.onnx"


def outputs(path: Path) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"i": np.array([3, 1, 39])})


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize(("bits", "bound"), [(8, 0.02), (4, 0.2)])
def test_the_result_is_close_to_the_model(tmp_path: Path, kind: type, bits: int, bound: float) -> None:
    path = model(tmp_path, kind)
    document = run_weights(WeightsRequest(path, tmp_path / "out", bits), quiet)
    for found, exact in zip(outputs(tmp_path / "out/model.nbits.onnx"), outputs(path), strict=True):
        assert found.dtype == exact.dtype
        difference = found.astype(np.float64) - exact
        assert np.linalg.norm(difference) < bound * np.linalg.norm(exact.astype(np.float64))
    assert document["layers"] == 2
    assert {entry["name"] for entry in document["float"]} == {"computed"}
    # 70 inputs take three groups of 32.
    weights = 48 * 3 * 32 * bits // 8 + 24 * 2 * 32 * bits // 8
    assert document["weight_bytes"] == weights + (48 * 3 + 24 * 2) * np.dtype(kind).itemsize


@pytest.mark.parametrize("external", [True, False])
def test_pieces_of_any_size_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, external: bool
) -> None:
    path = model(tmp_path, external=external)
    written = []
    for elements in (1, 48 * 32, 1 << 20):
        monkeypatch.setattr(streamed_blocks, "READ_ELEMENTS", elements)
        run_weights(WeightsRequest(path, tmp_path / "out", force=True), quiet)
        written.append({file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()})
    assert written[0] == written[1] == written[2]


def test_codes_and_scales_of_a_weight_made_by_hand(tmp_path: Path) -> None:
    """A channel that runs from -8 to 7 has scale 1 and the codes 0 to 15, the first in the lower half."""
    weight = np.tile(np.arange(-8, 8, dtype=np.float32), 2).reshape(32, 1)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "net",
        [helper.make_tensor_value_info("x", 1, [1, 32])],
        [helper.make_tensor_value_info("y", 1, [1, 1])],
        [numpy_helper.from_array(weight, "w")],
    )
    (tmp_path / "net.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    run_weights(WeightsRequest(tmp_path / "net.onnx", tmp_path / "out"), quiet)
    found = onnx.load(tmp_path / "out/model.nbits.onnx")
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in found.graph.initializer}
    assert stored["w.scales"].tolist() == [[1.0]]
    assert stored["w.blocks"].ravel().tolist() == [0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"location": "../net.data"}, "outside the model's folder"),
        ({"location": "none"}, "is missing"),
        ({"length": "12"}, "needs 13440 bytes, found 12"),
        ({"offset": str(1 << 40)}, "but the file has"),
    ],
)
def test_external_data_that_lie_are_refused(tmp_path: Path, change: dict[str, str], message: str) -> None:
    path = model(tmp_path)
    proto = onnx.ModelProto.FromString(path.read_bytes())
    for entry in proto.graph.initializer[0].external_data:
        entry.value = change.get(entry.key, entry.value)
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=message):
        run_weights(WeightsRequest(path, tmp_path / "out"), quiet)
    assert not (tmp_path / "out").exists()


def test_other_widths_and_models_without_products_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--bits: expected one of 2, 4, 8, found 3"):
        WeightsRequest(tmp_path / "net.onnx", tmp_path / "out", bits=3)
    path = model(tmp_path)
    proto = onnx.ModelProto.FromString(path.read_bytes())
    del proto.graph.node[1:]
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="no matrix product"):
        run_weights(WeightsRequest(path, tmp_path / "out"), quiet)
