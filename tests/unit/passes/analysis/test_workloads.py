"""The work of layers, counted by hand."""

from __future__ import annotations

import pytest

from hwmodels import Precision
from passes.analysis.cost import Costs, price_plan
from passes.analysis.workloads import Workloads
from passes.api import Aspect, PassContext
from passes.errors import ModelError
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text

CONV = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N,4,8,8] x) => (float[N,6,4,4] y)
<float[6,2,3,3] w, float[6] b>
{ [conv] y = Conv<group = 2, strides = [2, 2], pads = [1, 1, 1, 1]>(x, w, b) }
"""


def with_constants(text: str) -> Model:
    """ONNX text names shapes only; zeros will do to count."""
    zeros = "{" + ", ".join(["0"] * 108) + "}"
    text = text.replace("w, float[6] b>", f"w = {zeros}, float[6] b = {{0, 0, 0, 0, 0, 0}}>")
    return model_from_text(text)


def test_a_grouped_convolution(ctx: PassContext) -> None:
    work = ctx.get(Workloads(), with_constants(CONV))["conv"]
    assert (work.groups, work.in_channels, work.out_channels) == (2, 4, 6)
    assert (work.kernel, work.out_spatial) == ((3, 3), (4, 4))
    assert work.macs == 6 * 4 * 4 * 2 * 9
    assert (work.weight_count, work.bias_count) == (108, 6)
    assert (work.in_elements, work.out_elements) == (256, 96)


def test_matrix_products(model: Model, ctx: PassContext) -> None:
    works = ctx.get(Workloads(), model)
    assert [(name, work.macs, work.bias_count) for name, work in works.items()] == [
        ("first", 4, 2),
        ("second", 4, 0),
    ]


def test_a_shape_follows_from_that_of_the_input(model: Model, ctx: PassContext) -> None:
    known = ctx.get(Workloads(), model)
    ctx.invalidate(Aspect.GRAPH)
    model.graph.tensors()["y"].shape = None
    assert ctx.get(Workloads(), model) == known


def test_a_shape_that_nothing_tells_is_refused(model: Model, ctx: PassContext) -> None:
    """There are no samples to look at, and nobody said how large the input is."""
    for tensor in (*model.graph.inputs, model.graph.tensors()["y"]):
        tensor.shape = None
    with pytest.raises(ModelError, match="layer first: the shape"):
        ctx.get(Workloads(), model)


def test_bit_operations_are_the_product_of_widths(model: Model, ctx: PassContext) -> None:
    table = ctx.get(Costs((4, 8)), model)
    assert set(table.layers["first"]) == {Precision(w, a) for w in (4, 8) for a in (4, 8)}
    assert table.layers["first"][Precision(4, 8)].bops == 4 * 4 * 8
    total, layers = price_plan(model, ctx, {"first": Precision(4, 8), "second": Precision(2, 2)})
    assert total.bops == layers["first"].bops + layers["second"].bops == 4 * 32 + 4 * 4


def test_a_shape_that_contradicts_the_operator_is_refused(ctx: PassContext) -> None:
    model = with_constants(CONV)
    model.graph.tensors()["y"].shape = ["N", 6, 16]
    with pytest.raises(
        ModelError, match=r"layer conv: a convolution needs .* of one rank, .* found 4, 3 and 4"
    ):
        ctx.get(Workloads(), model)
