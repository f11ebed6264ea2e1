"""A model with a residual block."""

from __future__ import annotations

import numpy as np
import pytest

from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text


def numbers(rng: np.random.Generator, count: int) -> str:
    """Random constants, as ONNX text."""
    return ", ".join(f"{value:.4f}" for value in rng.standard_normal(count))


@pytest.fixture
def residual() -> Model:
    """A stem, a residual block of two convolutions, a pooling and a classifier."""
    rng = np.random.default_rng(1)
    return model_from_text(f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,2,5,5] x) => (float[N,3] y)
        <float[4,2,3,3] w0 = {{{numbers(rng, 72)}}}, float[4] b0 = {{{numbers(rng, 4)}}},
         float[4,4,3,3] w1 = {{{numbers(rng, 144)}}}, float[4] b1 = {{{numbers(rng, 4)}}},
         float[4,4,3,3] w2 = {{{numbers(rng, 144)}}}, float[4] b2 = {{{numbers(rng, 4)}}},
         float[4,3] w3 = {{{numbers(rng, 12)}}}, float[3] b3 = {{{numbers(rng, 3)}}}>
        {{
            [stem] a = Conv <pads=[1,1,1,1]> (x, w0, b0)
            [relu0] r = Relu(a)
            [first] c = Conv <pads=[1,1,1,1]> (r, w1, b1)
            [relu1] d = Relu(c)
            [second] e = Conv <pads=[1,1,1,1]> (d, w2, b2)
            [sum] s = Add(e, r)
            [relu2] t = Relu(s)
            [pool] p = GlobalAveragePool(t)
            [flat] f = Flatten(p)
            [head] y = Gemm(f, w3, b3)
        }}""")
