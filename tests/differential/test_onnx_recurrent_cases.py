"""The node tests of the onnx package for LSTM, GRU and RNN, their weights constant, in the packed form."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from hwmodels import Precision, load_target
from passes.api import PassContext
from passes.ir.onnx_io import model_from_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.packed import Origin, emit_packed
from passes.transform.canonicalize import Canonicalize
from qtool.runtime import Engine

WIDEST = Precision(16, 16)
RUN = (
    "gru_defaults", "gru_with_initial_bias", "gru_seq_length", "gru_reverse", "lstm_defaults",
    "lstm_with_initial_bias", "simple_rnn_defaults", "simple_rnn_with_initial_bias", "simple_rnn_reverse",
)  # fmt: skip
FLOAT = {
    "gru_batchwise": "layout",
    "lstm_with_peepholes": "lengths",
    "lstm_batchwise": "layout",
    "lstm_reverse": "last cell state",
}


@pytest.fixture(scope="module")
def node_tests() -> dict[str, Any]:
    """All node tests of the installed onnx package, by name."""
    with warnings.catch_warnings():
        # The package computes its expected values while it loads them, some of them infinite on purpose.
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}


def canonical(case: Any) -> tuple[Any, np.ndarray, dict[str, np.ndarray]]:
    """Return the model with all inputs but the first as constants, that input, and the expected results."""
    proto = onnx.ModelProto.FromString(case.model.SerializeToString())
    inputs, outputs = case.data_sets[0]
    first, *others = list(proto.graph.input)
    constants = zip(others, inputs[1:], strict=True)
    proto.graph.initializer.extend(numpy_helper.from_array(value, it.name) for it, value in constants)
    del proto.graph.input[:]
    proto.graph.input.append(first)
    proto.ir_version = min(proto.ir_version, 10)
    model = model_from_proto(proto, case.name, "0")
    Canonicalize().run(model, PassContext(load_target("generic")))
    return model, inputs[0], dict(zip([it.name for it in case.model.graph.output], outputs, strict=True))


@pytest.mark.parametrize("name", RUN)
def test_the_expected_states_are_computed(
    node_tests: dict[str, Any], assigned: Callable[..., Any], name: str
) -> None:
    model, x, expected = canonical(node_tests[f"test_{name}"])
    (tensor,) = model.graph.inputs
    tensor.name = "x"
    assigned(model, x, WIDEST)
    program = emit_packed(model, quantizer_setup(model.graph), Origin("test", "generic", "half_even"))
    found = Engine(program).run({"x": x})
    assert found.keys() == expected.keys()
    for output, values in expected.items():
        np.testing.assert_allclose(found[output], values, atol=2e-4)


@pytest.mark.parametrize(("name", "reason"), FLOAT.items())
def test_the_others_stay_float(node_tests: dict[str, Any], name: str, reason: str) -> None:
    model, _, _ = canonical(node_tests[f"test_{name}"])
    (entry,) = quantizer_setup(model.graph).unquantized
    assert reason in entry.reason
