"""One network, exported in several styles: the same results before quantization, the same coverage after.

The styles that need torch or onnxscript are skipped where those are not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from zoo_channels_last import STYLES as CHANNELS_LAST
from zoo_networks import SHAPES, Floats, Network, network

import qtool
from hwmodels import load_target
from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.onnx_io import model_from_proto, to_proto, write_proto
from passes.transform.canonicalize import Canonicalize

Export = Callable[[Network], onnx.ModelProto]
STYLES = {
    "channels_last": None,
    "onnxscript": "onnxscript",
    "torchscript": "torch",
    "torchscript_old": "torch",
    "dynamo": "torch",
    "dynamo_unoptimized": "torch",
}
"""What each style needs beside this package."""
LAYERS = {"cnn": 4, "residual": 5, "transformer": 9, "lstm": 2, "gru": 3, "gated": 5}
"""A cell of two directions is two layers."""
SAMPLES = 32


def exporter(style: str) -> Export:
    """The function that exports in a style; the test is skipped where its package is missing."""
    if style == "channels_last":
        return CHANNELS_LAST[style]
    pytest.importorskip("onnxscript")
    if style == "onnxscript":
        from zoo_scripted import onnxscript

        return onnxscript
    pytest.importorskip("torch")
    from zoo_torch import STYLES as OF_TORCH

    return OF_TORCH[style]


@cache
def reference(name: str) -> Floats:
    """What the plainest export gives."""
    return result(CHANNELS_LAST["channels_last"](network(name)), fed("channels_last", name))


def fed(style: str, name: str) -> Floats:
    """The inputs of a network as a style wants them."""
    x = network(name).inputs(SAMPLES)
    last = style == "channels_last" and x.ndim == 4
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if last else x


def result(model: onnx.ModelProto, x: Floats) -> Floats:
    """What ONNX Runtime computes, without its optimizations."""
    return Session(model, Level.BASIC, 1).run({model.graph.input[0].name: x})[0]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("style", STYLES)
def test_every_style_computes_the_same_and_is_integer_after(style: str, name: str, tmp_path: Path) -> None:
    exported, x = exporter(style)(network(name)), fed(style, name)
    np.testing.assert_allclose(result(exported, x), reference(name), rtol=1e-4, atol=1e-4)
    model = model_from_proto(exported, "exported", "")
    Canonicalize().run(model, PassContext(load_target("generic")))
    np.testing.assert_allclose(result(to_proto(model), x), reference(name), rtol=1e-4, atol=1e-4)

    path, data = tmp_path / "net.onnx", tmp_path / "x.npz"
    write_proto(exported, path)
    np.savez(data, **{exported.graph.input[0].name: x})
    report = qtool.quantize(
        path,
        target="generic",
        out=tmp_path / "out",
        calib=data,
        eval=data,
        pin="*=w8a8",
        to=["qdq", "packed"],
    )
    assert len(report.layers) == LAYERS[name]
    assert report.coverage.kinds["integer"].macs == 1
    assert report.coverage.kinds["integer"].weight_bytes == 1
    assert report.agreement.qdq_vs_packed_max_lsb <= 1
    assert report.metric.packed >= 0.9
