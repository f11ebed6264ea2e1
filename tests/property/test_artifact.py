"""Whatever happens to the bytes of a .qpk, loading it works or ends in an ArtifactError."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.artifact.constants import ConstantReader, ConstantWriter
from passes.artifact.container import read_container, write_container
from passes.artifact.fields import Fields
from passes.errors import ArtifactError, InputError
from passes.numerics import IntFormat
from qtool.runtime import Engine

FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def small_artifact() -> Artifact:
    x = TensorInfo("x", (None, 2, 5), 8, False, 0.5, 3)
    y = TensorInfo("y", (None, 3, 5), 4, True, 0.25, -1)
    tensors = {"x": x, "y": y, "z": TensorInfo("z", (None, 15), 4, True, 0.25, -1)}
    weight = PackedWeight.pack(
        np.arange(18).reshape(3, 2, 3) % 5 - 2,
        name="w",
        layout=WeightLayout.OUT_IN,
        fmt=IntFormat(3),
        scale=np.array([0.5, 0.25, 1.0]),
        zero_point=np.array(0),
    )
    attrs = {"strides": [1], "pads": [1, 1], "dilations": [1], "group": 1}
    steps = (
        Step("conv", "conv", ("x",), "y", attrs, weight, np.array([5, -60, 900])),
        Step("flatten", "flat", ("y",), "z", {"axis": 1}),
    )
    return Artifact("test", "", "generic", "half_even", "exact", ("x",), ("z",), tensors, steps)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("qpk") / "a.qpk"
    small_artifact().save(path)
    return path.read_bytes()


def load_or_refuse(path: Path) -> Artifact | None:
    try:
        return Artifact.load(path)
    except ArtifactError:
        return None


@FEW
@given(data=st.data())
def test_changed_bytes_never_escape_the_error_tree(saved, tmp_path, data):
    content = bytearray(saved)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "b.qpk").write_bytes(content)
    load_or_refuse(tmp_path / "b.qpk")


@FEW
@given(length=st.floats(0, 1, exclude_max=True))
def test_truncated_files_are_refused(saved, tmp_path, length):
    (tmp_path / "b.qpk").write_bytes(saved[: int(length * len(saved))])
    with pytest.raises(ArtifactError):
        Artifact.load(tmp_path / "b.qpk")


def places(value, path=()):
    """Every place in a JSON document."""
    yield path
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, item in entries:
        yield from places(item, (*path, key))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
    st.sampled_from(["x", "y", "w0", "conv", "add", "depthwise"]),
    st.lists(st.integers(-2, 70000), max_size=4),
    st.just({}),
)


@FEW
@given(data=st.data())
def test_changed_graphs_load_and_run_or_are_refused(saved, tmp_path, data):
    path = tmp_path / "b.qpk"
    path.write_bytes(saved)
    container = read_container(path)
    document = json.loads(zlib.decompress(container.tensors["graph"].tobytes()))
    *parents, last = data.draw(st.sampled_from([place for place in places(document) if place]))
    target = document
    for key in parents:
        target = target[key]
    target[last] = data.draw(VALUES)
    graph = np.frombuffer(zlib.compress(json.dumps(document).encode()), np.uint8)
    write_container(path, container.metadata, {**container.tensors, "graph": graph})
    artifact = load_or_refuse(path)
    if artifact is None:
        return
    try:
        outputs = Engine(artifact).run({"x": np.ones((1, 2, 5), np.float32)})
    except InputError:
        return
    assert set(outputs) == set(artifact.outputs)


@given(st.lists(st.integers(-(2**60), 2**60), max_size=30))
def test_constants_come_back(values):
    writer = ConstantWriter()
    references = [writer.add(np.array(part, np.int64)) for part in (values, values[::2])]
    reader = ConstantReader(writer.data)
    assert [reader.read(Fields(reference, "here")).tolist() for reference in references] == [
        values,
        values[::2],
    ]
