"""TensorQuantOverrides: written, read, accepted by ONNX Runtime's own check, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import PlanError
from passes.interchange.ort_overrides import from_overrides, to_overrides
from passes.ir.plan import Role
from passes.numerics import IntFormat, PerTensor


def test_the_entries(tensors):
    assert to_overrides(tensors) == {
        "act": [{"quant_type": "QUInt8", "scale": 0.5, "zero_point": 3}],
        "signed": [{"quant_type": "QInt16", "scale": 0.25, "zero_point": 0}],
        "weight": [
            {"quant_type": "QInt4", "axis": 0, "scale": 0.5, "zero_point": 0},
            {"quant_type": "QInt4", "axis": 0, "scale": 0.75, "zero_point": 0},
        ],
    }


def test_what_was_written_is_read(tensors):
    found = from_overrides(to_overrides(tensors), "file")
    assert {name: str(it.format) for name, it in found.items()} == {
        "act": "uint8", "signed": "int16", "weight": "int4",
    }  # fmt: skip
    assert (found["weight"].axis, found["weight"].scale.tolist()) == (0, [0.5, 0.75])


def test_the_tool_of_onnx_runtime_accepts_them(tensors):
    overrides = pytest.importorskip("onnxruntime.quantization.tensor_quant_overrides")
    types = pytest.importorskip("onnxruntime.quantization.quant_utils").QuantType
    document = to_overrides(tensors)
    for row in (row for rows in document.values() for row in rows):
        row["quant_type"] = types.from_string(row["quant_type"])
    helper = overrides.TensorQuantOverridesHelper(document)
    assert helper.is_valid({"weight": np.zeros(2)}, {"act", "signed"}, types.QUInt8)[0]


def test_ranges_become_scales():
    found = from_overrides({"a": [{"quant_type": "QUInt8", "rmin": -1.0, "rmax": 1.55}]}, "file")["a"]
    assert (float(found.scale[0]), int(found.zero[0])) == (np.float32(0.01), 100)


def test_a_type_alone_has_no_scale():
    assert from_overrides({"a": [{"quant_type": "QInt16"}]}, "file")["a"].scale.size == 0


def test_activations_of_five_bits_have_no_type_there(tensor):
    five = tensor(Role.ACT, IntFormat(5, signed=False), PerTensor(), 0.5, 0)
    with pytest.raises(PlanError, match="4, 8 or 16 bits"):
        to_overrides({"a": five})


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"a": 5},
        {"a": [5]},
        {"a": [{"quant_type": "QFloat"}]},
        {"a": [{"quant_type": "QInt8", "axis": "0"}]},
        {"a": [{"quant_type": "QInt8", "scale": 0.5}]},
        {"a": [{"quant_type": "QInt8", "scale": 0.5, "zero_point": 200}]},
        {"a": [{"quant_type": "QInt8", "scale": -1, "zero_point": 0}]},
        {"a": [{"quant_type": "QInt8", "rmin": 0.0}]},
        {"a": [{"quant_type": "QInt8", "rmin": 1.0, "rmax": "x"}]},
        {"a": [{"quant_type": "QInt8", "convert": {"quant_type": "QInt16"}}]},
    ],
)
def test_what_makes_no_sense_is_refused(document):
    with pytest.raises(PlanError, match=r"^file"):
        from_overrides(document, "file")
