"""Times of operators, as ONNX Runtime reports them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from passes.errors import ModelError
from passes.execution.profile import NodeTime, profile_nodes, wall_s
from passes.execution.session import Session

FEEDS = {"x": np.zeros(4, dtype=np.float32)}


@pytest.fixture
def proto() -> onnx.ModelProto:
    """Two operators that nothing fuses: Exp, then Sin."""
    nodes = [
        helper.make_node("Exp", ["x"], ["e"], name="first"),
        helper.make_node("Sin", ["e"], ["y"], name="second"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_every_operator_has_a_time_per_run(proto: onnx.ModelProto) -> None:
    first, second = profile_nodes(proto, FEEDS, 3, 1)
    assert (first.name, first.op) == ("first", "Exp")
    assert (second.name, second.op) == ("second", "Sin")
    assert len(first.seconds) == len(second.seconds) == 3
    assert all(0 <= seconds < 1 for seconds in first.seconds)


def test_the_typical_time_is_the_mean_of_the_fastest_third() -> None:
    assert NodeTime("n", "Exp", (9.0, 1.0, 2.0, 9.0, 9.0, 9.0)).typical_s == 1.5
    assert NodeTime("n", "Exp", (4.0,)).typical_s == 4.0


def test_wall_clock_of_each_session(proto: onnx.ModelProto) -> None:
    found = wall_s([Session(proto, threads=1), Session(proto, threads=1)], FEEDS, 2)
    assert len(found) == 2
    assert all(0 < seconds < 1 for seconds in found)


def test_a_model_that_does_not_load_is_refused(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ModelError, match="cannot load"):
        profile_nodes(proto, FEEDS, 1, 1)
