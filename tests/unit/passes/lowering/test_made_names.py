"""Names of what lowering adds are free, whatever the model calls its own tensors."""

from __future__ import annotations

from onnx import parser

from passes.lowering.made_names import free_name, made, made_name, settle_names

TEXT = """<ir_version: 8, opset_import: ["" : 13]> net (float[3] x, bool c) => (float[3] y) {
    t = Relu(x)
    y = If(c) <then_branch = one () => (float[3] a) { a = Neg(x) },
               else_branch = two () => (float[3] b) { b = Identity(x) }>
}"""


def test_a_free_name_has_the_first_number() -> None:
    assert free_name("x.q", {"x"}) == "x.q"
    assert free_name("x.q", {"x.q", "x.q.1"}) == "x.q.2"


def test_what_is_made_gets_a_name_of_its_own_wherever_it_is_read() -> None:
    graph = parser.parse_model(TEXT).graph
    branch = graph.node[1].attribute[0].g
    graph.node[0].name, graph.node[0].output[0] = made("x", "quantize"), "x.dq"
    graph.node[0].input[0] = branch.node[0].input[0] = made("x", "dq")
    settle_names(graph)
    assert graph.node[0].name == "x.quantize"
    assert (graph.node[0].input[0], graph.node[0].output[0]) == ("x.dq.1", "x.dq")
    assert branch.node[0].input[0] == "x.dq.1"


def test_two_that_would_share_a_name_do_not() -> None:
    graph = parser.parse_model(TEXT).graph
    graph.node[0].input[0], graph.node[0].output[0] = made("a.b", "q"), made(made("a", "b"), "q")
    settle_names(graph)
    assert (graph.node[0].input[0], graph.node[0].output[0]) == ("a.b.q", "a.b.q.1")


def test_what_was_made_is_the_last_of_its_name() -> None:
    assert made_name("x", "dq", {"x.dq", "x.dq.1", "x.dq.3"}) == "x.dq.1"
    assert made_name("x", "dq", {"x"}) is None
