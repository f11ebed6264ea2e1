"""A model to work on, and a context without data."""

from __future__ import annotations

import pytest

from hwmodels.registry import load_target
from passes.api import PassContext
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
two_layers (float[N,2] x) => (float[N,2] y)
<float[2,2] w1 = {1.0, 2.0, 3.0, 4.0}, float[2] b1 = {0.5, -0.5}, float[2,2] w2 = {1.0, 0.0, 0.0, 1.0}>
{
    [first] h = Gemm(x, w1, b1)
    [relu] r = Relu(h)
    [second] y = MatMul(r, w2)
}
"""


@pytest.fixture
def model() -> Model:
    """A Gemm, a Relu and a MatMul."""
    return model_from_text(TEXT)


@pytest.fixture
def ctx() -> PassContext:
    """A context for the machine that only counts."""
    return PassContext(load_target("generic"))
