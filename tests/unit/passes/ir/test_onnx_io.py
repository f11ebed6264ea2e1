"""Reading and writing .onnx: nothing is lost on the way through, and no lie is believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from passes.errors import ModelError
from passes.ir.onnx_io import model_from_text, opset_of, read_model, to_proto, write_proto
from passes.ir.opsets import raise_opset

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N,2] x) => (float[N,2] y)
<float[2,2] w = {1.0, 2.0, 3.0, 4.0}>
{
    h = MatMul(x, w)
    y = Relu(h)
}
"""
Save = Callable[[onnx.ModelProto], Path]


@pytest.fixture
def proto() -> onnx.ModelProto:
    return parser.parse_model(TEXT)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(proto: onnx.ModelProto) -> Path:
        path = tmp_path / "net.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    return write


def external(location: str, **entries: int) -> onnx.ModelProto:
    """The model with its weight in another file."""
    proto = parser.parse_model(TEXT)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return proto


def test_the_graph_survives(proto: onnx.ModelProto, save: Save) -> None:
    out = to_proto(read_model(save(proto)))
    assert [(node.op_type, list(node.input), list(node.output)) for node in out.graph.node] == [
        ("MatMul", ["x", "w"], ["h"]),
        ("Relu", ["h"], ["y"]),
    ]
    np.testing.assert_array_equal(numpy_helper.to_array(out.graph.initializer[0]), [[1, 2], [3, 4]])
    onnx.checker.check_model(out, full_check=True)


def test_what_graphsurgeon_drops_survives(proto: onnx.ModelProto, save: Save) -> None:
    proto.producer_name, proto.doc_string = "someone", "about the model"
    proto.metadata_props.add(key="author", value="a")
    proto.graph.metadata_props.add(key="dataset", value="b")
    proto.graph.node[1].metadata_props.add(key="layer", value="c")
    proto.graph.node[1].doc_string = "about the node"
    out = to_proto(read_model(save(proto)))
    assert (out.producer_name, out.doc_string) == ("someone", "about the model")
    assert [(entry.key, entry.value) for entry in out.metadata_props] == [("author", "a")]
    assert [(entry.key, entry.value) for entry in out.graph.metadata_props] == [("dataset", "b")]
    assert [(entry.key, entry.value) for entry in out.graph.node[1].metadata_props] == [("layer", "c")]
    assert out.graph.node[1].doc_string == "about the node"


def test_versions_survive(proto: onnx.ModelProto, save: Save) -> None:
    proto.opset_import.add(domain="com.example", version=3)
    out = to_proto(read_model(save(proto)))
    assert out.ir_version == 8
    assert {(entry.domain, entry.version) for entry in out.opset_import} == {("", 13), ("com.example", 3)}


def test_node_names_become_unique(proto: onnx.ModelProto, save: Save) -> None:
    proto.graph.node[0].name = proto.graph.node[1].name = "same"
    proto.graph.node.add(op_type="Relu", input=["h"], output=["z"])
    proto.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    names = [node.name for node in read_model(save(proto)).graph.nodes]
    assert len(set(names)) == 3
    assert all(names)


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "INT2", "UINT2"])
def test_narrow_weights_survive(kind: str, save: Save) -> None:
    narrow = TensorProto(name="q", data_type=getattr(TensorProto, kind), dims=[3])
    narrow.raw_data = b"\x12\x03" if "4" in kind else b"\x1b"
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["q", "s"], ["y"])],
        "narrow",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        [narrow, numpy_helper.from_array(np.float32(0.5), "s")],
    )
    opset = helper.make_opsetid("", 25)
    out = to_proto(read_model(save(helper.make_model(graph, opset_imports=[opset], ir_version=13))))
    found = next(tensor for tensor in out.graph.initializer if tensor.name == "q")
    assert found.data_type == narrow.data_type
    np.testing.assert_array_equal(numpy_helper.to_array(found), numpy_helper.to_array(narrow))


def test_the_digest_is_of_the_file(proto: onnx.ModelProto, save: Save) -> None:
    path = save(proto)
    first = read_model(path).sha256
    assert len(first) == 64
    proto.producer_name = "other"
    assert read_model(save(proto)).sha256 != first


def test_external_data_in_the_folder_are_read(save: Save, tmp_path: Path) -> None:
    weight = np.arange(4, dtype=np.float32)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(b"12345678" + weight.tobytes() + b"more")
    path = save(external("weights/w.bin", offset=8, length=16))
    out = to_proto(read_model(path))
    np.testing.assert_array_equal(numpy_helper.to_array(out.graph.initializer[0]), weight.reshape(2, 2))
    assert not out.graph.initializer[0].external_data


@pytest.mark.parametrize("location", ["../w.bin", "/etc/hostname", "a/../../w.bin", ""])
def test_external_data_outside_the_folder_are_refused(location: str, save: Save, tmp_path: Path) -> None:
    (tmp_path.parent / "w.bin").write_bytes(bytes(16))
    with pytest.raises(ModelError, match="outside the model's folder"):
        read_model(save(external(location)))


def test_a_link_out_of_the_folder_is_refused(save: Save, tmp_path: Path) -> None:
    outside = tmp_path.parent / "w.bin"
    outside.write_bytes(bytes(16))
    (tmp_path / "w.bin").symlink_to(outside)
    with pytest.raises(ModelError, match="outside the model's folder"):
        read_model(save(external("w.bin")))


def test_missing_external_data_are_named(save: Save) -> None:
    with pytest.raises(ModelError, match=r"tensor 'w'.*'w.bin' is missing"):
        read_model(save(external("w.bin")))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"length": 10**15}, "but the file has 16"),
        ({"offset": 12, "length": 16}, "but the file has 16"),
        ({"offset": -4}, "but the file has 16"),
        ({"offset": 4}, "needs 16 bytes, found 12"),
        ({"length": "many"}, "must be integers"),
    ],
)
def test_external_data_that_lie_are_refused(
    entries: dict[str, int], message: str, save: Save, tmp_path: Path
) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(16))
    with pytest.raises(ModelError, match=message):
        read_model(save(external("w.bin", **entries)))


def test_more_than_fits_into_memory_is_refused_with_what_does_it(save: Save, tmp_path: Path) -> None:
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ModelError, match=r"at most 2147483648 bytes.*qtool weights"):
        read_model(save(external("w.bin")))


def test_constants_that_are_no_inputs_need_a_newer_ir_version(save: Save) -> None:
    """The converter of the onnx package takes those of a model of IR version 3 for undefined."""
    proto = onnx.parser.parse_model(
        '<ir_version: 3, opset_import: ["" : 9]> net (float[1,2] x, float[2] w) => (float[1,2] y)'
        "<float[2] w = {1, 2}> { y = Add(x, w) }"
    )
    model = read_model(save(proto))
    assert [tensor.name for tensor in model.graph.inputs] == ["x"]
    assert opset_of(raise_opset(to_proto(model), 13)) == 13


@pytest.mark.parametrize("cut", [1, 20, 60, 100])
def test_a_truncated_file_is_refused(cut: int, proto: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(proto.SerializeToString()[:-cut])
    with pytest.raises(ModelError, match=str(path)):
        read_model(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"PK\x03\x04 not a model", b"{}", bytes(1000), b"\x08\x08"]
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"other\.onnx"):
        read_model(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        read_model(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="no such model file"):
        read_model(tmp_path)


@pytest.mark.parametrize("opset", [0, 6, 27, 2**40])
def test_an_unknown_opset_is_refused(opset: int, proto: onnx.ModelProto, save: Save) -> None:
    proto.opset_import[0].version = opset
    with pytest.raises(ModelError, match=f"expected an opset from 7 to 26, found {opset}"):
        read_model(save(proto))


@pytest.mark.parametrize(
    "dims", [[2, 3], [2**40, 2**40], [-1, 4], [0, 2], [4, 4, 4]], ids=lambda dims: "x".join(map(str, dims))
)
def test_a_shape_that_its_bytes_do_not_fill_is_refused(
    dims: list[int], proto: onnx.ModelProto, save: Save
) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.raw_data = bytes(16)
    tensor.dims[:] = dims
    with pytest.raises(ModelError, match=r"tensor 'w' of shape .*(needs|sizes from 0)"):
        read_model(save(proto))


@pytest.mark.parametrize("dims", [[2, 3], [2**40, 2**20], [1]])
def test_a_shape_that_its_numbers_do_not_fill_is_refused(
    dims: list[int], proto: onnx.ModelProto, save: Save
) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.float_data[:] = [1.0] * 4
    tensor.dims[:] = dims
    with pytest.raises(ModelError, match=r"tensor 'w' of shape .*(needs|sizes from 0)"):
        read_model(save(proto))


def test_a_cycle_is_refused(proto: onnx.ModelProto, save: Save) -> None:
    proto.graph.node[0].input[0] = "y"
    with pytest.raises(ModelError, match="cycle"):
        read_model(save(proto))


def test_an_unknown_element_type_is_refused(proto: onnx.ModelProto, save: Save) -> None:
    proto.graph.initializer[0].data_type = 999
    with pytest.raises(ModelError, match=r"tensor 'w'.*known element type, found 999"):
        read_model(save(proto))


def test_writing_replaces_the_file_as_a_whole(proto: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    write_proto(proto, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.onnx"]
    assert path.read_bytes() == proto.SerializeToString(deterministic=True)


def test_a_failed_write_leaves_nothing_behind(proto: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").mkdir()
    with pytest.raises(OSError, match=r"net\.onnx"):
        write_proto(proto, tmp_path / "net.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.onnx"]


def test_shapes_are_inferred() -> None:
    tensors = model_from_text(TEXT).graph.tensors()
    assert tensors["h"].shape == ["N", 2]
    assert tensors["h"].dtype == np.float32
