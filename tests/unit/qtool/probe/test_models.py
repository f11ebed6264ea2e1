"""Each point is measured in the kernel that networks run it in."""

from __future__ import annotations

import pytest

from hwmodels import Precision
from passes.execution.profile import profile_nodes
from qtool.probe.measure import LAYOUT, SURROUNDINGS, feeds_of, time_point
from qtool.probe.models import build_chain, build_model
from qtool.probe.shapes import ConvShape, GemmShape, OperatorShape, Point, ProductShape, Shape

FLOAT, INTEGER = Precision(32, 32), Precision(8, 8)


def operators(point: Point) -> set[str]:
    """What ONNX Runtime runs, conversions of layout left out."""
    proto = build_model(point)
    return {node.op for node in profile_nodes(proto, feeds_of(proto), 1, 1)} - LAYOUT


@pytest.mark.parametrize(
    ("shape", "precision", "expected"),
    [
        (ConvShape(8, 16, 3, 2, 4), INTEGER, {"QLinearConv"}),
        (ConvShape(16, 16, 3, 1, 4, 16), INTEGER, {"QLinearConv"}),
        (GemmShape(2, 32, 16), INTEGER, {"QLinearMatMul"}),
        (GemmShape(2, 32, 16), Precision(2, 32), {"MatMulNBits"}),
        (GemmShape(2, 32, 16), Precision(4, 32), {"MatMulNBits"}),
        (GemmShape(2, 32, 16), Precision(8, 32), {"MatMulNBits"}),
        (ProductShape(2, 4, 16, 4), INTEGER, {"QLinearMatMul"}),
        (OperatorShape("QuantizeLinear", 8, 4), INTEGER, {"QuantizeLinear"}),
        (OperatorShape("DequantizeLinear", 8, 4), INTEGER, {"DequantizeLinear"}),
        (OperatorShape("Add", 16, 4), INTEGER, {"QLinearAdd", "QLinearConv"}),
        (OperatorShape("Concat", 16, 4), INTEGER, {"QLinearConcat", "QLinearConv"}),
        (OperatorShape("Softmax", 16, 4), FLOAT, {"Softmax"}),
    ],
)
def test_kernels(shape: Shape, precision: Precision, expected: set[str]) -> None:
    assert operators(Point(shape, precision)) == expected


def test_a_float_convolution_takes_its_clip_along() -> None:
    assert operators(Point(ConvShape(16, 16, 1, 1, 4), FLOAT)) <= SURROUNDINGS


def test_times_are_of_the_operator_alone() -> None:
    small, large = (time_point(Point(ConvShape(64, 64, 3, 1, size), FLOAT), 1) for size in (2, 28))
    assert 0 < 3 * small < large < 1


def test_a_chain_runs_all_its_links() -> None:
    proto = build_chain(5)
    nodes = profile_nodes(proto, feeds_of(proto), 2, 1)
    assert len([node for node in nodes if node.op == "Conv"]) == 5
    assert all(len(node.seconds) == 2 for node in nodes)


def test_work_of_operators() -> None:
    concat, pool = OperatorShape("Concat", 3, 4).work, OperatorShape("MaxPool", 3, 5).work
    assert (concat.in_elements, concat.out_elements) == (96, 96)
    assert (pool.in_elements, pool.out_elements) == (75, 12)
