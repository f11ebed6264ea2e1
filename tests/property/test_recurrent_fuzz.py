"""Hostile recurrent programs: with anything in the graph of its file changed, one is refused or runs."""

from __future__ import annotations

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

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.artifact.container import read_container, write_container
from passes.errors import ArtifactError, InputError
from passes.lowering.recurrent import sigmoid_table
from passes.numerics import IntFormat
from qtool.runtime import Engine

CASES = int(os.environ.get("QTOOL_FUZZ", "150"))
LOAD_BYTES = 32 << 20
INPUTS, HIDDEN = 3, 2
NUMBERS = st.one_of(
    st.integers(-3, 20),
    st.sampled_from([1 << 16, 1 << 31, 1 << 62, 1 << 200, -(1 << 63)]),
    st.floats(allow_nan=False),
)
ANYTHING = st.one_of(
    NUMBERS, st.none(), st.booleans(), st.sampled_from(["lstm", "gru", "rnn", "gemm", "w0", "w1", "in_out"]),
    st.lists(NUMBERS, max_size=4), st.just({}),
)  # fmt: skip


def _weight(depth: int) -> PackedWeight:
    codes = np.arange(3 * HIDDEN * depth).reshape(-1, depth) % 7 - 3
    return PackedWeight.pack(
        codes,
        name="w",
        layout=WeightLayout.OUT_IN,
        fmt=IntFormat(4),
        scale=np.full(1, 0.25),
        zero_point=np.zeros(1),
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gru of two units on its own."""
    tensors = {
        "x": TensorInfo("x", (None, None, INPUTS), 8, False, 0.5, 3),
        "y": TensorInfo("y", (None, 1, None, HIDDEN), 8, True, 2.0**-7, 0),
    }
    attrs: dict[str, int | str | list[int]] = {"reverse": 0, "state_bits": 8, "linear_before_reset": 0}
    step = Step(
        "gru", "cell", ("x",), "y", attrs, _weight(INPUTS), np.arange(12), table=sigmoid_table(),
        hidden_weight=_weight(HIDDEN),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("fuzz") / "cell.qpk"
    Artifact("test", "0", "generic", "half_even", "exact", ("x",), ("y",), tensors, (step,)).save(path)
    return path


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a JSON document but the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    return found + [place for key, item in items for place in places(item, (*path, key))]


def load_and_run(path: Path) -> None:
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
        Engine(artifact).run(dict.fromkeys(artifact.inputs, np.ones((2, 1, INPUTS), np.float32)))
    except InputError:
        return


def test_the_program_itself_runs(real: Path) -> None:
    found = Engine(Artifact.load(real)).run({"x": np.ones((2, 1, INPUTS), np.float32)})["y"]
    assert found.shape == (2, 1, 1, HIDDEN)
    assert np.abs(found).max() > 0


@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_program_is_refused_or_runs(real: Path, tmp_path: Path, data: st.DataObject) -> None:
    container = read_container(real)
    changed = json.loads(zlib.decompress(container.tensors["graph"].tobytes()))
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places(changed)))
        parent = changed
        for key in place[:-1]:
            parent = parent[key]
        if data.draw(st.booleans()) and isinstance(parent, dict):
            del parent[place[-1]]
        else:
            parent[place[-1]] = data.draw(ANYTHING)
    graph = np.frombuffer(zlib.compress(json.dumps(changed).encode(), 1), np.uint8)
    write_container(tmp_path / "b.qpk", container.metadata, {**container.tensors, "graph": graph})
    load_and_run(tmp_path / "b.qpk")
