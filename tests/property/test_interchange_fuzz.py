"""Quantized models with bytes changed: taken apart or refused in words, nothing else."""

from __future__ import annotations

import os
from contextlib import suppress

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper

from passes.errors import InputError, ModelError
from passes.interchange.extract import extract
from passes.ir.onnx_io import model_from_proto

CASES = int(os.environ.get("QTOOL_FUZZ", "150"))


def proto() -> ModelProto:
    """A matrix product between Q/DQ pairs and a Quant node."""
    values = {
        "s": np.array(0.5, np.float32), "z": np.array(3, np.uint8), "bits": np.array(4, np.float32),
        "wq": np.array([[1, -2], [3, 4]], np.int8), "ws": np.array([0.5, 0.25], np.float32),
        "zero": np.array(0, np.float32), "low": np.array(0, np.uint8), "high": np.array(15, np.uint8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        helper.make_node("Clip", ["q", "low", "high"], ["c"], "c"),
        helper.make_node("DequantizeLinear", ["c", "s", "z"], ["d"], "d"),
        helper.make_node("DequantizeLinear", ["wq", "ws"], ["w"], "w", axis=1),
        helper.make_node("MatMul", ["d", "w"], ["m"], "m"),
        helper.make_node(
            "Quant",
            ["m", "s", "zero", "bits"],
            ["y"],
            "n",
            domain="qonnx.custom_op.general",
            signed=1,
            narrow=0,
        ),
    ]
    ends = [helper.make_tensor_value_info(name, 1, [2, 2]) for name in "xy"]
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "fuzzed", ends[:1], ends[1:], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("qonnx.custom_op.general", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


GOOD = proto().SerializeToString()


def test_the_model_itself_is_read() -> None:
    found = extract(model_from_proto(proto(), "fuzzed", ""))
    assert {str(quant.spec.format) for quant in found.model.plan.tensors.values()} == {"uint4", "int4"}


@settings(max_examples=CASES)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_are_refused_in_words(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    changed = ModelProto()
    try:
        changed.ParseFromString(bytes(data))
        model = model_from_proto(changed, "fuzzed", "")
    except (DecodeError, InputError, UnicodeDecodeError):
        return
    with suppress(InputError):
        assert extract(model).model.plan.tensors


def test_a_quantizer_without_numbers_is_refused() -> None:
    broken = proto()
    del broken.graph.node[0].input[1:]
    with pytest.raises(ModelError, match=r"node q \(QuantizeLinear\): expected at least 2 inputs, found 1"):
        model_from_proto(broken, "fuzzed", "")
