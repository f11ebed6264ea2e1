"""Functions of a model disappear into its graph; what has no end is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser

from passes.errors import ModelError
from passes.execution.session import Level, Session
from passes.ir.onnx_io import model_from_proto, to_proto

HEAD = '<ir_version: 8, opset_import: ["" : 17, "own" : 1, "com.microsoft" : 1]>'
NET = HEAD + "net (float[N,2] x) => (float[N,2] y) { {} }"
X = np.array([[-1.5, 2.0]], np.float32)


def proto_of(body: str, *functions: str, opset: int = 17) -> onnx.ModelProto:
    imports = f'opset_import: ["" : {opset}, "own" : 1]'
    heads = [f'<domain: "own", {imports}> {function}' for function in functions]
    return parser.parse_model("\n".join([NET.replace("{}", body), *heads]))


def ops(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    return to_proto(model_from_proto(proto, "net.onnx", ""))


def test_calls_inside_calls_become_nodes_of_the_graph() -> None:
    twice = "twice (a) => (b) { c = own.once(a) b = own.once(c) }"
    once = "once (a) => (b) { r = Relu(a) b = Add(r, a) }"
    before = proto_of("h = own.twice(x) y = own.once(h)", twice, once)
    after = inlined(before)
    assert ops(after) == ["Relu", "Add"] * 3
    assert not after.functions
    assert len({node.name for node in after.graph.node}) == 6
    expected = X
    for _ in range(3):
        expected = np.maximum(expected, 0) + expected
    np.testing.assert_array_equal(Session(after, Level.BASIC, 1).run({"x": X})[0], expected)


def test_attributes_and_branches_are_followed() -> None:
    leaky = "leaky <slope> (a) => (b) { b = LeakyRelu<alpha: float = @slope>(a) }"
    branch = """c = ReduceMax<keepdims = 0>(x) t = Cast<to = 9>(c)
        y = If(t) <then_branch = one () => (o) { o = own.leaky<slope = 0.5>(x) },
                   else_branch = two () => (p) { p = Identity(x) }>"""
    after = inlined(proto_of(branch, leaky))
    then = next(it.g for it in after.graph.node[-1].attribute if it.name == "then_branch")
    assert [node.op_type for node in then.node] == ["LeakyRelu"]
    found = Session(after, Level.BASIC, 1).run({"x": X})[0]
    np.testing.assert_array_equal(found, [[-0.75, 2.0]])


def test_functions_in_the_place_of_operators_stay() -> None:
    proto = parser.parse_model(
        NET.replace("{}", "y = com.microsoft.Gelu(x)")
        + '<domain: "com.microsoft", opset_import: ["" : 17]> Gelu (a) => (b) { b = Relu(a) }'
    )
    after = inlined(proto)
    assert ops(after) == ["Gelu"]
    assert len(after.functions) == 1


def test_a_call_that_does_not_fit_stays() -> None:
    assert ops(inlined(proto_of("y = own.f(x)", "f () => (b) { b = Constant<value_float = 1.0>() }"))) == [
        "f"
    ]


def test_a_function_of_an_earlier_opset_is_converted() -> None:
    assert ops(inlined(proto_of("y = own.f(x)", "f (a) => (b) { b = Relu(a) }", opset=13))) == ["Relu"]


def test_a_function_that_calls_itself_is_refused() -> None:
    around = ["f (a) => (b) { b = own.g(a) }", "g (a) => (b) { b = own.f(a) }"]
    with pytest.raises(ModelError, match=r"net\.onnx: function f of domain 'own' calls itself"):
        inlined(proto_of("y = own.f(x)", *around))


def test_functions_that_unfold_without_measure_are_refused() -> None:
    chain = [f"f{i} (a) => (b) {{ c = own.f{i + 1}(a) b = own.f{i + 1}(c) }}" for i in range(40)]
    with pytest.raises(ModelError, match=r"unfold into \d{13} nodes, expected at most 200000"):
        inlined(proto_of("y = own.f0(x)", *chain, "f40 (a) => (b) { b = Relu(a) }"))


def test_calls_that_go_too_deep_are_refused() -> None:
    chain = [f"f{i} (a) => (b) {{ b = own.f{i + 1}(a) }}" for i in range(5000)]
    with pytest.raises(ModelError, match="called too deep"):
        inlined(proto_of("y = own.f0(x)", *chain, "f5000 (a) => (b) { b = Relu(a) }"))


def test_a_function_s_constant_that_lies_is_refused() -> None:
    proto = proto_of("y = own.f(x)", "f (a) => (b) { c = Constant<value = float[2] {1, 2}>() b = Add(a, c) }")
    proto.functions[0].node[0].attribute[0].t.dims[0] = 3
    with pytest.raises(ModelError, match="found 2"):
        inlined(proto)
