"""The rules as a list, by release and level, and on nested graphs."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from passes.errors import ModelError
from passes.lint.lint import lint
from passes.lint.rules import RULES
from passes.lint.runtime import FIRST, Runtime

LOST_RELU = """
<ir_version: 10, opset_import: ["" : 21]>
net (float[4] x) => (float[4] y)
<float s = {0.5}, int4 z = {0}>
{
    r = Relu(x)
    q = QuantizeLinear(r, s, z)
    y = DequantizeLinear(q, s, z)
}
"""


def float_weight() -> onnx.ModelProto:
    """A float Conv between quantizers."""
    return parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[1,2,4,4] x) => (float[1,2,4,4] y)
    <float s = {0.5}, uint8 z = {0}, float[2,2,1,1] w = {1.0, 2.0, 3.0, 4.0}>
    {
        qx = QuantizeLinear(x, s, z)
        dx = DequantizeLinear(qx, s, z)
        c = Conv(dx, w)
        qc = QuantizeLinear(c, s, z)
        y = DequantizeLinear(qc, s, z)
    }
    """)


def codes(model: onnx.ModelProto, version: tuple[int, int], *, basic: bool = False) -> list[str]:
    return [it.rule.code for it in lint(model, Runtime(version, basic))]


def test_codes_are_in_order_and_used_once() -> None:
    found = [rule.code for rule in RULES]
    assert found == sorted(set(found))
    assert all(re.fullmatch(r"QT[1-4]\d\d", code) for code in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_rules_say_what_and_what_to_do(rule) -> None:
    assert rule.explanation.endswith(".")
    assert rule.fix
    assert not rule.fix.endswith(".")
    assert rule.title != rule.explanation
    assert rule.since >= FIRST


def test_a_finding_names_the_node_and_the_tensor() -> None:
    (finding,) = lint(parser.parse_model(LOST_RELU), Runtime((1, 31)))
    assert finding.rule.code == "QT201"
    assert (finding.place.node, finding.place.tensor) == ("Relu of r", "r")
    assert finding.place.message == "Relu before QuantizeLinear to INT4"


@pytest.mark.parametrize(("version", "expected"), [((1, 20), []), ((1, 22), ["QT204"]), ((1, 31), ["QT204"])])
def test_releases_that_round_float_weights(version: tuple[int, int], expected: list[str]) -> None:
    assert codes(float_weight(), version, basic=True) == expected
    # At the default level, the rounded weight goes on into an integer kernel.
    assert codes(float_weight(), version) == [*expected, *(["QT207"] if expected else [])]


def test_the_basic_level_has_fewer_traps() -> None:
    model = parser.parse_model(LOST_RELU)
    assert codes(model, (1, 31)) == ["QT201"]
    assert codes(model, (1, 31), basic=True) == []


def test_newer_operator_sets() -> None:
    model = parser.parse_model(LOST_RELU)
    model.opset_import[0].version = 25
    model.ir_version = 13
    assert codes(model, (1, 22), basic=True) == ["QT101", "QT102"]
    assert codes(model, (1, 24), basic=True) == []


def test_clips_of_older_releases() -> None:
    model = parser.parse_model(LOST_RELU.replace("Relu(x)", "Clip(x)"))
    assert codes(model, (1, 23)) == ["QT115"]
    assert codes(model, (1, 24)) == []


@pytest.mark.parametrize(("bits", "first"), [(2, (1, 24)), (4, (1, 20)), (8, (1, 23))])
def test_widths_of_matmulnbits(bits: int, first: tuple[int, int]) -> None:
    node = helper.make_node(
        "MatMulNBits", ["x", "b", "s"], ["y"], domain="com.microsoft", K=32, N=1, bits=bits, block_size=32
    )
    model = wrapped(node)
    assert codes(model, first) == []
    if first > FIRST:
        assert codes(model, (first[0], first[1] - 1)) == ["QT116"]


def test_blocked_weights_of_gemm_by_release() -> None:
    model = parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 21]>
    net (float[3,32] x, uint8[32,2] w) => (float[3,2] y)
    <float s = {0.5}, uint8 z = {0}, float[2,2] sw = {1.0, 2.0, 3.0, 4.0}>
    {
        qx = QuantizeLinear(x, s, z)
        dx = DequantizeLinear(qx, s, z)
        dw = DequantizeLinear<axis = 0, block_size = 16>(w, sw, z)
        c = Gemm(dx, dw)
        qc = QuantizeLinear(c, s, z)
        y = DequantizeLinear(qc, s, z)
    }
    """)
    assert codes(model, (1, 26)) == ["QT113"]
    assert codes(model, (1, 28)) == []


@pytest.mark.parametrize(("version", "expected"), [((1, 23), {"QT104"}), ((1, 24), set())])
def test_quantizers_of_opset_23_by_release(version: tuple[int, int], expected: set[str]) -> None:
    model = float_weight()
    model.opset_import[0].version = 23
    assert set(codes(model, version)) & {"QT101", "QT104"} == expected


def test_functions_of_the_model_are_known() -> None:
    node = helper.make_node("Twice", ["x"], ["y"], domain="mine")
    model = wrapped(node)
    assert codes(model, (1, 31)) == ["QT105"]
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    model.functions.append(
        helper.make_function("mine", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 21)])
    )
    assert codes(model, (1, 31)) == []


def test_functions_are_looked_into_wherever_they_are_called() -> None:
    head, _ = LOST_RELU.replace('"" : 21', '"" : 21, "mine" : 1').split("<float s")
    quantizer = """{ k = Constant<value = float {0.5}>() z = Constant<value = int4 {0}>()
        r = Relu(a) [q] c = QuantizeLinear(r, k, z) b = DequantizeLinear(c, k, z) }"""
    model = parser.parse_model(
        f"""{head} {{ h = mine.inner(x) y = mine.outer(h) }}
        <domain: "mine", opset_import: ["" : 21, "mine" : 1]> outer (a) => (b) {{ b = mine.inner(a) }}
        <domain: "mine", opset_import: ["" : 21]> inner (a) => (b) {quantizer}"""
    )
    found = lint(model, Runtime((1, 31)))
    assert [it.rule.code for it in found] == ["QT201", "QT201"]
    assert all(it.place.node.startswith("inner/Relu_2") for it in found)
    assert len({it.place.node for it in found}) == 2


def test_functions_without_end_are_refused() -> None:
    model = wrapped(helper.make_node("Again", ["x"], ["y"], domain="mine"))
    body = [helper.make_node("Again", ["a"], ["b"], domain="mine")]
    model.functions.append(helper.make_function("mine", "Again", ["a"], ["b"], body, []))
    with pytest.raises(ModelError, match="calls itself"):
        lint(model, Runtime((1, 31)))


@pytest.mark.parametrize(
    ("version", "opset", "expected"),
    [((1, 24), 21, ["QT114"]), ((1, 24), 22, []), ((1, 26), 25, []), ((1, 28), 25, ["QT114"])],
)
def test_pooling_of_narrow_codes_by_release(
    version: tuple[int, int], opset: int, expected: list[str]
) -> None:
    model = parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 21]>
    net (float[1,2,4,4] x) => (float[1,2,2,2] y)
    <float s = {0.5}, uint4 z = {0}>
    {
        qx = QuantizeLinear(x, s, z)
        dx = DequantizeLinear(qx, s, z)
        p = MaxPool<kernel_shape = [3, 3]>(dx)
        qp = QuantizeLinear(p, s, z)
        y = DequantizeLinear(qp, s, z)
    }
    """)
    model.opset_import[0].version = opset
    assert codes(model, version) == expected


def test_nested_graphs_are_looked_at_with_what_they_see() -> None:
    inner = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["r"], name="clamp"),
            helper.make_node("QuantizeLinear", ["r", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        ],
        "inner",
        [],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, [4])],
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    model = wrapped(node)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.float32(0.5), "s"),
            helper.make_tensor("z", TensorProto.INT4, [], [0]),
        ]
    )
    findings = lint(model, Runtime((1, 31)))
    assert [(it.rule.code, it.place.node) for it in findings] == [("QT201", "clamp")] * 2


def test_a_tensor_that_a_nested_graph_reads_has_two_readers() -> None:
    model = parser.parse_model(LOST_RELU)
    y = helper.make_tensor_value_info("i", TensorProto.FLOAT, [4])
    inner = helper.make_graph([helper.make_node("Abs", ["r"], ["i"])], "inner", [], [y])
    model.graph.node.append(helper.make_node("If", ["c"], ["k"], then_branch=inner, else_branch=inner))
    assert codes(model, (1, 31)) == []


def wrapped(node: onnx.NodeProto) -> onnx.ModelProto:
    """A model of one node."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 32])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(helper.make_graph([node], "net", [x], [y]), opset_imports=opsets, ir_version=10)
