"""Element types of codes, and how narrow ones are packed."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from passes.lowering.encoding import Form, act_encoding, codes_tensor, weight_encoding
from passes.numerics import IntFormat


@pytest.mark.parametrize(
    ("bits", "form", "onnx_type", "offset"),
    [
        (1, Form.QDQ, TensorProto.INT2, 0),
        (2, Form.QDQ, TensorProto.INT2, 0),
        (3, Form.QDQ, TensorProto.INT4, 0),
        (4, Form.QDQ, TensorProto.INT4, 0),
        (5, Form.QDQ, TensorProto.INT8, 0),
        (8, Form.QDQ, TensorProto.UINT8, 128),
        (16, Form.QDQ, TensorProto.INT16, 0),
        (2, Form.QCDQ, TensorProto.INT8, 0),
        (8, Form.QCDQ, TensorProto.UINT8, 128),
    ],
)
def test_types_of_weights(bits: int, form: Form, onnx_type: int, offset: int) -> None:
    encoding = weight_encoding(IntFormat(bits, signed=True), form)
    assert (encoding.onnx_type, encoding.offset) == (onnx_type, offset)


@pytest.mark.parametrize(
    ("bits", "native4", "onnx_type", "clip"),
    [
        (4, True, TensorProto.UINT4, False),
        (4, False, TensorProto.UINT8, True),
        (3, True, TensorProto.UINT8, True),
        (8, True, TensorProto.UINT8, False),
        (16, True, TensorProto.UINT16, False),
    ],
)
def test_types_of_activations(bits: int, native4: bool, onnx_type: int, clip: bool) -> None:
    encoding = act_encoding(IntFormat(bits, signed=False), Form.QDQ, native4=native4)
    assert (encoding.onnx_type, encoding.clip) == (onnx_type, clip)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8, 16])
@pytest.mark.parametrize("form", list(Form))
def test_codes_are_what_onnx_reads_back(bits: int, form: Form) -> None:
    fmt = IntFormat(bits, signed=True)
    codes = np.resize(np.arange(fmt.qmin, fmt.qmax + 1), (3, 7))
    encoding = weight_encoding(fmt, form)
    tensor = codes_tensor("w", codes, encoding)
    np.testing.assert_array_equal(
        numpy_helper.to_array(tensor).astype(np.int64), codes.astype(np.int64) + encoding.offset
    )
