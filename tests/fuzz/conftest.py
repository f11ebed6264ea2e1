"""Real files of every kind that qtool reads, made by one run over a small network, to be damaged."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper, parser
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from hwmodels import Precision
from passes.search.cache import EvaluationCache
from passes.search.point import Evaluation
from qtool.analysis import AnalyzeRequest, run_analyze
from qtool.interchange import run_export
from qtool.quantization import run_quantize
from qtool.request import QuantizeRequest

NETWORK = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[batch,2,6,6] x, bool flag) => (float[batch,3] y)
{
    c = Conv<pads = [1,1,1,1]>(x, w, b)
    n = BatchNormalization(c, one, zero, zero, one)
    r = Relu(n)
    k = Conv<group = 4>(r, d)
    i = If(flag) <
        then_branch = then () => (t) { t = Relu(k) },
        else_branch = other () => (e) { e = Identity(k) }
    >
    p = GlobalAveragePool(i)
    l = Flatten(p)
    y = Gemm<transB = 1>(l, f)
}
"""


SHAPES = {
    "w": (4, 2, 3, 3), "b": (4,), "d": (4, 1, 3, 3), "one": (4,), "zero": (4,), "f": (3, 4)
}  # fmt: skip


def network() -> ModelProto:
    """Convolutions, a batch normalization, a branch and a product, with random weights."""
    proto, rng = parser.parse_model(NETWORK), np.random.default_rng(0)
    for name, shape in SHAPES.items():
        values = rng.normal(size=shape).astype(np.float32)
        values = np.abs(values) + 1 if name == "one" else values
        proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return proto


def straight(proto: ModelProto) -> ModelProto:
    """The same without the branch, which a packed artifact does not have."""
    kept = [node for node in proto.graph.node if node.op_type != "If"]
    for node in kept:
        node.input[:] = ["k" if name == "i" else name for name in node.input]
    graph = helper.make_graph(kept, "net", proto.graph.input[:1], proto.graph.output, proto.graph.initializer)
    return helper.make_model(graph, opset_imports=proto.opset_import, ir_version=8)


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory, quickstart: Path) -> Path:
    """A folder with a file of every kind."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "branch.onnx").write_bytes(network().SerializeToString())
    model = folder / "net.onnx"
    model.write_bytes(straight(network()).SerializeToString())
    x = np.random.default_rng(1).normal(size=(60, 2, 6, 6)).astype(np.float32)
    np.savez(folder / "x.npz", x=x, labels=np.arange(60) % 3)
    (folder / "input_0.pb").write_bytes(numpy_helper.from_array(x).SerializeToString())
    picture = io.BytesIO()
    Image.new("RGB", (9, 7), (9, 30, 200)).save(picture, "png")
    (folder / "picture.png").write_bytes(picture.getvalue())
    request = QuantizeRequest(
        model=model,
        out=folder / "out",
        target="bitfusion",
        calib=str(folder / "x.npz"),
        pins=(("*", Precision(4, 8)),),
    )
    run_quantize(request, lambda stage, done, total: None)
    asked = AnalyzeRequest(
        model=model, calib=str(folder / "x.npz"), target="bitfusion", sensitivity="size-only"
    )
    analysis = run_analyze(asked, print_nothing)
    (folder / "problem.json").write_text(json.dumps(analysis), encoding="utf-8")
    for kind in ("aimet", "ort-overrides"):
        run_export(model, folder / "out" / "plan.json", kind, folder / kind, force=False)
    (folder / "layers.csv").write_text(
        "layer,kernel,out_size,stride,in_ch,out_ch,groups\na,3,56,2,64,128,1\nb,1,1,1,512,1000,1\n"
    )
    cache = EvaluationCache(folder / "cache.sqlite")
    for plan in range(40):
        cache.put("d" * 64, f"plan {plan}", Evaluation(0.5, 100, seconds=1.0))
    cache.close()
    return folder


def print_nothing(stage: str, done: int, total: int) -> None:
    """Take progress and show none."""
