"""The packed artifact: weights, checks of a program, the file."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.artifact.constants import ConstantReader, ConstantWriter
from passes.artifact.container import read_container, write_container
from passes.artifact.fields import Fields
from passes.errors import ArtifactError
from passes.numerics import IntFormat
from passes.numerics.scales import SPARE_BITS

CONV_ATTRS = {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}


def packed(shape=(20, 5, 3, 3), bits=4, layout=WeightLayout.OUT_IN, scale=0.5) -> PackedWeight:
    fmt = IntFormat(bits)
    q = np.random.default_rng(1).integers(fmt.qmin, fmt.qmax + 1, shape)
    scales = np.full(shape[0], scale, np.float32)
    return PackedWeight.pack(q, name="w", layout=layout, fmt=fmt, scale=scales, zero_point=np.array(0))


def tensors() -> dict[str, TensorInfo]:
    x = TensorInfo("x", (None, 5, 8, 8), 8, False, 0.5, 3)
    y = TensorInfo("y", (None, 20, 8, 8), 8, True, 0.25, -1)
    return {"x": x, "y": y, "z": replace(y, name="z"), "f": TensorInfo("f", (None, 20, 8, 8))}


def conv(**changes) -> Step:
    step = Step("conv", "conv", ("x",), "y", CONV_ATTRS, packed(), np.arange(20) * 100 - 7, lo=-1)
    return replace(step, **changes)


def lut(**changes) -> Step:
    return replace(Step("lut", "lut", ("y",), "z", table=np.arange(256) - 128), **changes)


def build(*steps: Step, inputs=("x",), outputs=("y",), rounding="half_even", rule="exact") -> Artifact:
    return Artifact(
        "qtool 0", "ab", "bitfusion", rounding, rule, inputs, outputs, tensors(), steps or (conv(), lut())
    )


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 8, 16])
@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("out_in", (5, 7)),
        ("out_in", (5, 7, 3)),
        ("in_out", (33, 17)),
        ("in_out", (4, 6, 3, 2)),
        ("grouped", (6, 2, 3)),
        ("depthwise", (9, 1, 3, 3)),
    ],
)
def test_weights_unpack_to_what_was_packed(bits, layout, shape):
    fmt = IntFormat(bits, signed=bits % 2 == 0)
    q = np.random.default_rng(bits).integers(fmt.qmin, fmt.qmax + 1, shape)
    weight = PackedWeight.pack(
        q, name="w", layout=WeightLayout(layout), fmt=fmt, scale=np.array(1.0), zero_point=np.array(0)
    )
    assert weight.data.size % 64 == 0
    np.testing.assert_array_equal(weight.unpack(), q)


def test_stored_order_is_taps_before_channels():
    q = np.arange(12).reshape(2, 3, 2)
    weight = PackedWeight.pack(
        q, name="w", layout=WeightLayout.OUT_IN, fmt=IntFormat(8), scale=np.array(1.0), zero_point=np.array(0)
    )
    np.testing.assert_array_equal(weight.unpack_stored()[0], [[0, 2, 4], [1, 3, 5]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 9}, "bits must be"),
        ({"shape": (20, 5, 0, 3)}, "no empty one"),
        ({"shape": (20,)}, "two or more axes"),
        ({"shape": (400, 5, 3, 3)}, "expected .* bytes"),
        ({"layout": WeightLayout.DEPTHWISE}, "one input channel"),
        ({"scale": np.float32([np.nan])}, "positive finite"),
        ({"scale": np.float32([0.0])}, "positive finite"),
        ({"zero_point": np.array([8])}, "zero point"),
    ],
)
def test_a_weight_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(ArtifactError, match=message):
        replace(packed(), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 12}, "bits must be"),
        ({"scale": float("nan")}, "positive finite"),
        ({"scale": 1e-42}, "positive finite"),
        ({"zero_point": 256}, "zero point"),
        ({"shape": (1,) * 9}, "axes"),
        ({"shape": (1 << 20, 1 << 20)}, "elements"),
        ({"shape": (0, -1)}, "negative"),
    ],
)
def test_a_tensor_out_of_range_is_refused(change, message):
    with pytest.raises(ArtifactError, match=message):
        replace(tensors()["x"], **change)


def test_a_tensor_keeps_its_scale_as_float32():
    assert replace(tensors()["x"], scale=0.1).scale == float(np.float32(0.1))


BAD_PROGRAMS = [
    ((conv(op="convolve"),), "unknown operation"),
    ((conv(inputs=("y",)),), "before any step"),
    ((conv(inputs=("nothing",)),), "before any step"),
    ((conv(output="nothing"),), "not among the tensors"),
    ((conv(output="x"),), "second time"),
    ((conv(), lut(name="conv")), "same name"),
    ((conv(inputs=()),), "expected 1 to 1 inputs"),
    ((conv(attrs={}),), "expected the attributes"),
    ((conv(attrs={**CONV_ATTRS, "strides": [0, 1]}),), "attribute strides"),
    ((conv(attrs={**CONV_ATTRS, "group": True}),), "attribute group"),
    ((conv(attrs={**CONV_ATTRS, "group": 3}),), "does not divide"),
    ((conv(attrs={**CONV_ATTRS, "group": 2}),), "stored as grouped"),
    ((conv(weight=None),), "lacks its weight"),
    ((conv(table=np.arange(2)),), "no use for a table"),
    ((conv(bias=np.arange(3)),), "expected 20 biases"),
    ((conv(bias=np.full(20, -(1 << 50))),), "larger than"),
    ((conv(weight=replace(packed(), scale=np.ones(7, np.float32))),), "expected 1 or 20 scales"),
    ((conv(lo=5, hi=4),), "bounds"),
    ((conv(hi=128),), "bounds"),
    ((conv(output="f"),), "lo and hi"),
    ((conv(), lut(table=None)), "lacks its table"),
    ((conv(), lut(table=np.arange(255))), "256 entries"),
    ((conv(), lut(table=np.arange(256))), "table entry"),
    ((conv(), lut(output="f")), "float32"),
    ((conv(), lut(bias=np.arange(2))), "no use for a bias"),
    ((conv(), Step("softmax", "s", ("y",), "f", {"axis": 1})), "float32 tensors"),
    ((conv(), Step("identity", "i", ("x",), "z")), "different parameters"),
    ((conv(lo=None, output="f"), Step("add", "a", ("f", "f"), "y")), "input is float32"),
    ((lut(inputs=("x",)),), "graph output 'y'"),
]


@pytest.mark.parametrize(("steps", "message"), BAD_PROGRAMS)
def test_a_program_that_contradicts_itself_is_refused(steps, message):
    with pytest.raises(ArtifactError, match=message):
        build(*steps)


def test_unknown_roundings_and_graph_inputs_are_refused():
    with pytest.raises(ArtifactError, match="requantization must be one of exact, "):
        build(rule="guess")
    with pytest.raises(ArtifactError, match="rounding must be one of"):
        build(rounding="random")
    with pytest.raises(ArtifactError, match="'a' is not among"):
        build(inputs=("a",))


def test_a_saved_artifact_loads_as_it_was(tmp_path):
    before = build()
    before.save(tmp_path / "a.qpk")
    after = Artifact.load(tmp_path / "a.qpk")
    assert (after.producer, after.model_sha256, after.target) == ("qtool 0", "ab", "bitfusion")
    assert after.tensors == before.tensors
    for left, right in zip(after.steps, before.steps, strict=True):
        assert (left.op, left.name, left.inputs, left.output) == (
            right.op,
            right.name,
            right.inputs,
            right.output,
        )
        assert (left.attrs, left.lo, left.hi) == (right.attrs, right.lo, right.hi)
    np.testing.assert_array_equal(after.steps[0].weight.unpack(), before.steps[0].weight.unpack())
    np.testing.assert_array_equal(after.steps[0].bias, before.steps[0].bias)
    np.testing.assert_array_equal(after.steps[1].table, before.steps[1].table)


def test_equal_artifacts_give_equal_bytes_and_no_stray_files(tmp_path):
    build().save(tmp_path / "a.qpk")
    Artifact.load(tmp_path / "a.qpk").save(tmp_path / "b.qpk")
    assert (tmp_path / "a.qpk").read_bytes() == (tmp_path / "b.qpk").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.qpk", "b.qpk"]


def test_the_file_is_safetensors_with_weights_on_lines_of_64_bytes(tmp_path):
    path = tmp_path / "a.qpk"
    build().save(path)
    weight = build().steps[0].weight.data
    assert path.read_bytes().index(weight.tobytes()) % 64 == 0
    np.testing.assert_array_equal(load_file(path)["w0"], weight)
    owner = Artifact.load(path).steps[0].weight.data
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert isinstance(owner, np.memmap)


@pytest.mark.parametrize("scale", [0.5, 0.1])
def test_scales_are_stored_exactly_and_in_two_bytes_when_they_fit(scale):
    writer = ConstantWriter()
    values = np.float32([scale, 3 * scale, 1.0])
    reference = writer.add_scales(values)
    assert reference["shift"] == (SPARE_BITS if scale == 0.5 else 0)
    np.testing.assert_array_equal(ConstantReader(writer.data).read_scales(Fields(reference, "here")), values)


def test_equal_values_take_no_space():
    writer = ConstantWriter()
    assert writer.add(np.full(1000, -5)) == {"offset": 0, "count": 1000, "bits": 0, "base": -5}
    assert writer.data.size == 0


def rewrite(path: Path, *, metadata=None, graph=None, drop=()) -> None:
    """Change a saved file: its metadata, its graph, or leave tensors out."""
    container = read_container(path)
    parts = {name: data.copy() for name, data in container.tensors.items() if name not in drop}
    if graph is not None:
        document = json.loads(zlib.decompress(parts["graph"].tobytes()))
        graph(document)
        parts["graph"] = np.frombuffer(zlib.compress(json.dumps(document).encode()), np.uint8)
    write_container(path, container.metadata | (metadata or {}), parts)


def _set(*keys):
    """Return an edit that sets document[keys[0]][keys[1]]... to the last of keys."""

    def edit(document):
        for key in keys[:-2]:
            document = document[key]
        document[keys[-2]] = keys[-1]

    return edit


EDITS = [
    (_set("extra", 1), "unknown key 'extra'"),
    (_set("steps", 0, "extra", 1), "unknown key 'extra'"),
    (_set("tensors", 0, "scale", 0.1), "not a float32 value"),
    (_set("tensors", 0, "scale", float("nan")), "valid JSON"),
    (_set("tensors", 0, "scale", 1e400), "not a float32 value|valid JSON"),
    (_set("tensors", 0, "shape", [1.5]), "extent"),
    (_set("tensors", 0, "name", "y"), "not among the tensors|same name"),
    (_set("tensors", 0, "signed", 1), "true or false"),
    (_set("tensors", 0, "bits", 17), "bits must be 1 to 8, 16 or 32"),
    (_set("tensors", 0, "bits", 33), "bits must be an integer"),
    (_set("steps", 0, "inputs", "x"), "inputs must be a list"),
    (_set("steps", 0, "inputs", [1]), "list of strings"),
    (_set("steps", 0, "attrs", []), "attrs must be an object"),
    (_set("steps", 0, "bias", 3), "expected an object"),
    (_set("steps", 0, "bias", "offset", 1), "offset must be"),
    (_set("steps", 0, "bias", "count", 1 << 21), "bytes of constants"),
    (_set("steps", 0, "bias", "bits", 63), "bits must be"),
    (_set("steps", 0, "weight", "tensor", "w1"), "no tensor 'w1'"),
    (_set("steps", 0, "weight", "layout", "heap"), "unknown layout"),
    (_set("steps", 0, "weight", "shape", [20, None]), "no unknown extent"),
    (_set("steps", 0, "weight", "scale", "base", 1 << 40), "more than 32 bits"),
    (_set("steps", [{}]), "lacks 'op'"),
    (_set("steps", {}), "steps must be a list"),
]


@pytest.mark.parametrize(("edit", "message"), EDITS)
def test_a_graph_that_lies_is_refused(tmp_path, edit, message):
    build().save(tmp_path / "a.qpk")
    rewrite(tmp_path / "a.qpk", graph=edit)
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(tmp_path / "a.qpk")


def test_other_versions_and_formats_are_refused(tmp_path):
    path = tmp_path / "a.qpk"
    build().save(path)
    rewrite(path, metadata={"version": "1"})
    with pytest.raises(ArtifactError, match="version '1'; this program supports version 2"):
        Artifact.load(path)
    rewrite(path, metadata={"format": "pt"})
    with pytest.raises(ArtifactError, match=r"no \.qpk file"):
        Artifact.load(path)


def test_missing_and_unused_tensors_are_refused(tmp_path):
    path = tmp_path / "a.qpk"
    build().save(path)
    rewrite(path, drop=("constants",))
    with pytest.raises(ArtifactError, match="lacks its graph or its constants"):
        Artifact.load(path)
    build().save(path)
    rewrite(path, graph=_set("steps", []))
    with pytest.raises(ArtifactError, match="no step writes"):
        Artifact.load(path)


def test_a_graph_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    build().save(tmp_path / "a.qpk")
    monkeypatch.setattr("passes.artifact.program.MAX_GRAPH_BYTES", 100)
    with pytest.raises(ArtifactError, match="larger than 100 bytes"):
        Artifact.load(tmp_path / "a.qpk")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no "),
        (b"12345678", "is no "),
        (b"\xff" * 16, "is no "),
        ((2).to_bytes(8, "little") + b"[]", "expected a JSON object"),
        ((4).to_bytes(8, "little") + b"\xff\xff\xff\xff", "valid JSON"),
        ((100000).to_bytes(8, "little") + b"[" * 100000, "valid JSON"),
        ((16).to_bytes(8, "little") + b'{"a":{},"a":{}} ', "twice"),
        ((18).to_bytes(8, "little") + b'{"a":{"dtype":1}} ', "U8 vector"),
        ((3).to_bytes(8, "little") + b"{} 1234", "truncated"),
        ((22).to_bytes(8, "little") + b'{"__metadata__":{"a":1', "valid JSON"),
        ((23).to_bytes(8, "little") + b'{"__metadata__":"text"}', "metadata must be an object"),
    ],
)
def test_files_that_are_no_container_are_refused(tmp_path, data, message):
    (tmp_path / "a.qpk").write_bytes(data)
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(tmp_path / "a.qpk")


@pytest.mark.parametrize("offsets", [[0, 5], [-1, 3], [4, 8], [4, 0]])
def test_offsets_that_overlap_or_leave_the_file_are_refused(tmp_path, offsets):
    header = json.dumps({"a": {"dtype": "U8", "shape": [4], "data_offsets": offsets}}).encode()
    (tmp_path / "a.qpk").write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    with pytest.raises(ArtifactError):
        Artifact.load(tmp_path / "a.qpk")


def test_a_missing_file_is_an_artifact_error(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        Artifact.load(tmp_path / "none.qpk")
