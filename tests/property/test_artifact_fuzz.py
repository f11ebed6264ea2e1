"""Hostile .qpk files: real artifacts, changed in every way that their graph allows, are refused or run.

QTOOL_FUZZ=10000 runs so many cases of each kind in place of a few hundred.
"""

from __future__ import annotations

import copy
import json
import os
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passes.artifact import Artifact
from passes.artifact.container import read_container, write_container
from passes.artifact.ops import OPS
from passes.errors import ArtifactError, InputError
from qtool.quantization import run_quantize
from qtool.request import QuantizeRequest
from qtool.runtime import Engine

CASES = int(os.environ.get("QTOOL_FUZZ", "250"))
MANY = settings(
    max_examples=CASES,
    deadline=2000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LOAD_BYTES = 32 << 20
"""What loading may allocate: far above the sample network, far below what a lying size asks for."""
PIPELINE = "canonicalize,fold-batchnorm,equalize,allocate{bits=2,8 max-size=0.6x},assign-scales,fit-levels"
Document = dict[str, Any]
Place = tuple[str | int, ...]


@pytest.fixture(scope="module")
def real(quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed form of the sample network: convolutions of all kinds, a sum, pools, tables."""
    out = tmp_path_factory.mktemp("fuzz") / "out"
    request = QuantizeRequest(
        model=quickstart / "digits.onnx",
        out=out,
        calib=str(quickstart / "digits_calib.npz"),
        target="bitfusion",
        pipeline=PIPELINE,
        samples=8,
    )
    run_quantize(request, lambda stage, done, total: None)
    return out / "model.qpk"


@pytest.fixture(scope="module")
def document(real: Path) -> Document:
    """The graph of the real artifact."""
    data = read_container(real).tensors["graph"]
    parsed: Document = json.loads(zlib.decompress(data.tobytes()))
    return parsed


def write_graph(real: Path, document: Document, path: Path) -> None:
    container = read_container(real)
    graph = np.frombuffer(zlib.compress(json.dumps(document).encode(), 1), np.uint8)
    write_container(path, container.metadata, {**container.tensors, "graph": graph})


def load_and_run(path: Path) -> None:
    """Load and run one image; what is wrong is an `ArtifactError` from loading, or refused before running."""
    tracemalloc.start()
    try:
        artifact = Artifact.load(path)
    except ArtifactError:
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < LOAD_BYTES
    try:
        Engine(artifact).run({name: np.ones((1, 1, 8, 8), np.float32) for name in artifact.inputs})
    except InputError:
        return


def places(value: Any, path: Place = ()) -> list[Place]:
    """Every place in a JSON document but the root."""
    entries: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
    found = [path] if path else []
    return found + [place for key, item in entries for place in places(item, (*path, key))]


def parent_of(document: Document, place: Place) -> Any:
    value: Any = document
    for key in place[:-1]:
        value = value[key]
    return value


NUMBERS = st.one_of(
    st.integers(-3, 20),
    st.sampled_from([1 << 16, 1 << 24, 1 << 31, (1 << 31) + 1, 1 << 62, 1 << 63, 1 << 200, -(1 << 63)]),
    st.floats(allow_nan=False, allow_infinity=False),
)
ANYTHING = st.one_of(
    NUMBERS,
    st.none(),
    st.booleans(),
    st.sampled_from([*OPS, "custom", "", "..", "w0", "w1", "image", "logits", "half_even", "gemmlowp"]),
    st.lists(NUMBERS, max_size=5),
    st.just({}),
)


def set_anything(draw: st.DrawFn, document: Document) -> None:
    place = draw(st.sampled_from(places(document)))
    parent_of(document, place)[place[-1]] = draw(ANYTHING)


def set_size(draw: st.DrawFn, document: Document) -> None:
    """Let a number lie: extents, offsets, counts, bits, strides, groups, kernels."""
    numbers = [
        place for place in places(document) if type(parent_of(document, place)[place[-1]]) in (int, float)
    ]
    place = draw(st.sampled_from(numbers))
    parent_of(document, place)[place[-1]] = draw(NUMBERS)


def delete(draw: st.DrawFn, document: Document) -> None:
    place = draw(st.sampled_from(places(document)))
    del parent_of(document, place)[place[-1]]


def change_op(draw: st.DrawFn, document: Document) -> None:
    """Give a step another operation, with attributes of its own and numbers of any size in them."""
    step = draw(st.sampled_from(document["steps"]))
    step["op"] = draw(st.sampled_from([*OPS, "fma", "Conv"]))
    attrs = OPS[step["op"]].attrs if step["op"] in OPS else {}
    step["attrs"] = {name: draw(st.one_of(NUMBERS, st.lists(NUMBERS, max_size=4))) for name in attrs}


def rewire(draw: st.DrawFn, document: Document) -> None:
    """Let a step read any tensor, its own result among them: cycles, and uses before definition."""
    names = [tensor["name"] for tensor in document["tensors"]]
    step = draw(st.sampled_from(document["steps"]))
    if draw(st.booleans()):
        step["inputs"] = draw(st.lists(st.sampled_from(names), max_size=3))
    else:
        step["output"] = draw(st.sampled_from(names))


def reorder(draw: st.DrawFn, document: Document) -> None:
    document["steps"] = draw(st.permutations(document["steps"]))


def double(draw: st.DrawFn, document: Document) -> None:
    """Repeat an entry: two tensors of one name, two steps of one weight."""
    entries = document[draw(st.sampled_from(["tensors", "steps", "inputs", "outputs"]))]
    entries.insert(draw(st.integers(0, len(entries))), copy.deepcopy(draw(st.sampled_from(entries))))


CHANGES = (set_anything, set_size, delete, change_op, rewire, reorder, double)


@MANY
@given(data=st.data())
def test_a_changed_graph_is_refused_or_runs(
    real: Path, document: Document, tmp_path: Path, data: st.DataObject
) -> None:
    changed = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        try:
            data.draw(st.sampled_from(CHANGES))(data.draw, changed)
        except (KeyError, IndexError, TypeError, AttributeError):
            # An earlier change took away what this one would change.
            break
    write_graph(real, changed, tmp_path / "b.qpk")
    load_and_run(tmp_path / "b.qpk")


@MANY
@given(data=st.data())
def test_a_changed_header_is_refused_or_runs(real: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Offsets out of the file, overlapping tensors, sizes that lie, a header length that lies."""
    content = real.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    name = data.draw(st.sampled_from(list(header)))
    place = data.draw(st.sampled_from(places(header[name], (name,))))
    parent_of(header, place)[place[-1]] = data.draw(ANYTHING)
    text = json.dumps(header).encode()
    told = data.draw(st.one_of(st.just(len(text)), st.integers(0, 2**64 - 1)))
    (tmp_path / "b.qpk").write_bytes(told.to_bytes(8, "little") + text + content[8 + length :])
    load_and_run(tmp_path / "b.qpk")


@MANY
@given(data=st.data())
def test_changed_bytes_are_refused_or_run(real: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(real.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    stop = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    (tmp_path / "b.qpk").write_bytes(content[:stop])
    load_and_run(tmp_path / "b.qpk")


def test_a_small_file_cannot_unfold_into_a_large_graph(real: Path, tmp_path: Path) -> None:
    container = read_container(real)
    graph = np.frombuffer(zlib.compress(b" " * ((1 << 28) + 1), 1), np.uint8)
    assert graph.size < 2 << 20
    write_container(tmp_path / "b.qpk", container.metadata, {**container.tensors, "graph": graph})
    with pytest.raises(ArtifactError, match="larger than"):
        Artifact.load(tmp_path / "b.qpk")
