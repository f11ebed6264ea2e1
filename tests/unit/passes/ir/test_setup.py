"""Where quantizers stand: tie groups, fused clamps, float tails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwmodels import load_target
from passes.ir.onnx_io import model_from_text
from passes.ir.setup import QuantizerSetup, layer_dag, quantizer_setup

GENERIC = load_target("generic")
W = "float[4,4,1,1] w{} = {{1.0,0.0,0.0,0.0,0.0,1.0,0.0,0.0,0.0,0.0,1.0,0.0,0.0,0.0,0.0,1.0}}"
CONSTANTS = ", ".join(
    [
        *(W.format(index) for index in range(3)),
        "int64[8] pads = {0,0,1,1,0,0,1,1}, int64[1] zero = {0}, int64[1] two = {2}, int64[1] one = {1}",
        "int64[2] flat = {0,-1}, float low = {0.0}, float six = {6.0}, float[1] half = {0.5}",
        "float[1,1,1,6] grid = {1,2,3,4,5,6}",
    ]
)


def setup_of(body: str, output: str = "float[N,M,H,V] y", tied: tuple[str, ...] = ()) -> QuantizerSetup:
    header = f'<ir_version: 8, opset_import: ["" : 13]> g (float[N,4,6,6] x) => ({output})'
    text = f"{header} <{CONSTANTS}> {{ {body} }}"
    target = replace(GENERIC, arithmetic=replace(GENERIC.arithmetic, shared_parameter_ops=tied))
    return quantizer_setup(model_from_text(text).graph, target)


def members(setup: QuantizerSetup) -> list[tuple[str, ...]]:
    return [group.members for group in setup.groups]


@pytest.mark.parametrize(
    "mover",
    [
        "m = MaxPool <kernel_shape = [2,2]> (a)",
        "m = Pad (a, pads)",
        "m = Slice (a, one, two, two)",
        "m = Transpose <perm = [0,1,3,2]> (a)",
        "m = Identity (a)",
    ],
)
def test_a_mover_ties_its_output_to_its_input(mover: str) -> None:
    setup = setup_of(f"a = Conv(x, w0) {mover} y = Conv(m, w1)")
    assert members(setup)[:2] == [("x",), ("a", "m")]
    tied = setup.groups[1]
    assert (tied.name, tied.sources, len(tied.readers)) == ("a", ("a",), 1)


def test_a_chain_of_movers_is_one_group() -> None:
    setup = setup_of(
        "a = Conv(x, w0) p = Pad(a, pads) m = MaxPool <kernel_shape = [2,2]> (p) "
        "s = Slice(m, zero, two, two) y = Conv(s, w1)"
    )
    assert members(setup)[1] == ("a", "p", "m", "s")
    assert setup.groups[1].sources == ("a",)


def test_concat_ties_all_of_its_inputs() -> None:
    setup = setup_of("a = Conv(x, w0) b = Conv(x, w1) c = Concat <axis = 2> (a, b, x) y = Conv(c, w2)")
    group = setup.groups[0]
    assert set(group.members) == {"x", "a", "b", "c"}
    assert set(group.sources) == {"x", "a", "b"}
    assert len(group.readers) == 3


@pytest.mark.parametrize("clamp", ["Relu (a)", "Clip (a, low, six)"])
def test_a_clamp_is_fused_into_the_layer_before_it(clamp: str) -> None:
    setup = setup_of(f"[first] a = Conv(x, w0) [clamp] r = {clamp} y = Conv(r, w1)")
    assert setup.fused == {"first": "clamp"}
    assert members(setup) == [("x",), ("r",)]


def test_a_clamp_with_another_reader_beside_it_is_not_fused() -> None:
    setup = setup_of("[first] a = Conv(x, w0) r = Relu(a) b = Conv(r, w1) y = Add(a, b)")
    assert setup.fused == {}
    assert {"a", "r", "b"} <= {name for group in members(setup) for name in group}


def test_an_addition_has_operands_and_a_result_of_their_own() -> None:
    setup = setup_of("a = Conv(x, w0) s = Add(a, x) [relu] r = Relu(s) y = Conv(r, w1)")
    assert members(setup) == [("x",), ("a",), ("r",)]
    assert "relu" in setup.fused.values()
    assert setup.unquantized == ()


def test_a_machine_may_tie_the_operands_of_an_addition() -> None:
    setup = setup_of("a = Conv(x, w0) s = Add(a, x) y = Conv(s, w1)", tied=("Add",))
    (group,) = (group for group in setup.groups if "a" in group.members)
    assert set(group.members) == {"x", "a", "s"}
    assert set(group.sources) == {"x", "a", "s"}


def test_a_float_tail_stays_float() -> None:
    setup = setup_of("a = Conv(x, w0) f = Flatten(a) [tail] y = Softmax(f)", "float[N,M] y")
    assert [(entry.name, entry.reason) for entry in setup.unquantized if entry.op == "Softmax"] == [
        ("tail", "Softmax has no integer form")
    ]
    assert "tail" not in setup.nodes


def test_arithmetic_on_constants_stays_float() -> None:
    setup = setup_of("[shift] m = Add(x, half) y = Conv(m, w0)")
    assert [(entry.name, entry.reason) for entry in setup.unquantized] == [
        ("shift", "one of its operands is a constant")
    ]
    assert members(setup) == [("m",)]


@pytest.mark.parametrize("op", ["Mul", "Div"])
def test_a_scaling_is_a_function_of_one_value(op: str) -> None:
    setup = setup_of(f"[scale] m = {op}(x, half) y = Conv(m, w0)")
    assert "scale" in setup.nodes
    assert members(setup) == [("x",), ("m",)]


def test_a_constant_tensor_is_added_in_integers_unless_it_is_a_bias() -> None:
    table = "[sum] s = Add(x, grid) y = Conv(s, w0)"
    assert "sum" in setup_of(table).nodes
    bias = "a = Conv(x, w1) [sum] s = Add(a, grid) y = Conv(s, w0)"
    assert "sum" not in setup_of(bias).nodes


def test_a_softmax_is_integer_only_between_integer_operators() -> None:
    inside = "a = Conv(x, w1) [normalize] s = Softmax<axis = -1>(a) y = Conv(s, w0)"
    assert "normalize" in setup_of(inside).nodes
    assert "normalize" not in setup_of("a = Conv(x, w1) [normalize] y = Softmax<axis = -1>(a)").nodes
    other_axis = "a = Conv(x, w1) [normalize] s = Softmax<axis = 1>(a) y = Conv(s, w0)"
    assert "normalize" not in setup_of(other_axis).nodes


def test_arithmetic_behind_float_operators_stays_float() -> None:
    setup = setup_of("e = Erf(x) [sum] s = Add(e, x) y = Conv(s, w0)")
    assert [entry.name for entry in setup.unquantized if entry.op == "Add"] == ["sum"]
    assert "sum" not in setup.nodes


def test_every_tensor_is_in_one_group_and_every_layer_reads_one() -> None:
    setup = setup_of("a = Conv(x, w0) r = Relu(a) b = Conv(r, w1) s = Add(b, x) y = Conv(s, w2)")
    names = [name for group in members(setup) for name in group]
    assert len(names) == len(set(names))
    assert set(setup.group_of()) == set(names)
    assert all(layer.act.name in names for layer in setup.layers)
    assert sum(len(group.readers) for group in setup.groups) == 3


def test_bodies_of_control_flow_are_reported() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 13]>
    g (float[N,2] x, bool c) => (float[N,M] y) <float[2,2] w = {1.0, 2.0, 3.0, 4.0}>
    {
        [choice] y = If (c) <
            then_branch = t () => (float[N,M] a) { [inner] a = MatMul(x, w) },
            else_branch = e () => (float[N,M] b) { b = Identity(x) }>
    }
    """
    setup = quantizer_setup(model_from_text(text).graph)
    assert setup.layers == ()
    assert setup.groups == ()
    assert {entry.name: entry.reason for entry in setup.unquantized} == {
        "inner": "inside the body of If choice",
        "choice": "If has no integer form",
    }


def test_an_empty_setup() -> None:
    setup = setup_of("y = Erf(x)")
    assert (setup.layers, setup.groups, setup.fused, setup.nodes) == ((), (), {}, frozenset())


def test_the_dag_of_nodes() -> None:
    text = (
        f'<ir_version: 8, opset_import: ["" : 13]> g (float[N,4,6,6] x) => (float[N,4,6,6] y) <{CONSTANTS}> '
    )
    dag = layer_dag(model_from_text(text + "{ [a] s = Conv(x, w0) [b] t = Relu(s) [c] y = Add(s, t) }").graph)
    assert set(dag.edges) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert dag.nodes["b"]["op"] == "Relu"


def test_sums_for_normalizations_and_their_terms_take_16_bits_where_there_are_so_many() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[N,2] x) => (float[N,2] y)
        <float[2,2] w0 = {1.0,0.0,0.0,1.0}, float[2,2] w1 = {1.0,0.0,0.0,1.0}, float[2] one = {1.0,1.0}>
        { a = MatMul (x, w0)  b = MatMul (x, w1)  s = Add (a, b)
          n = LayerNormalization <axis = -1> (s, one)  y = MatMul (n, w1) }"""
    graph = model_from_text(text).graph
    assert widths_of_unread(quantizer_setup(graph, GENERIC)) == {"x": 8, "a": 16, "b": 16, "s": 16, "n": 8}
    narrow = quantizer_setup(graph, load_target("tensorcore-t4"))
    assert set(widths_of_unread(narrow).values()) == {8}


def test_scores_and_gates_take_16_bits_and_operands_of_tables_do_not() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[N,2] x) => (float[N,2] y)
        <float[2,2] w0 = {1.0,0.0,0.0,1.0}, float[2,2] w1 = {1.0,0.0,0.0,1.0},
         float[2,2] w2 = {1.0,0.0,0.0,1.0}>
        { a = MatMul (x, w0)  g = Sigmoid (a)  b = MatMul (x, w1)  m = Mul (g, b)  p = Softmax <axis = -1> (m)
          y = MatMul (p, w2) }"""
    graph = model_from_text(text).graph
    found = widths_of_unread(quantizer_setup(graph, GENERIC))
    assert found == {"x": 8, "a": 8, "g": 16, "b": 16, "m": 16, "p": 8}
    plain = model_from_text(text.replace("Softmax <axis = -1>", "Relu")).graph
    assert set(widths_of_unread(quantizer_setup(plain, GENERIC)).values()) == {8}


def test_one_factor_of_a_product_stays_narrow_where_the_register_is() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[N,2] x) => (float[N,2] y)
        <float[2,2] w0 = {1.0,0.0,0.0,1.0}, float[2,2] w1 = {1.0,0.0,0.0,1.0},
         float[2,2] w2 = {1.0,0.0,0.0,1.0}>
        { a = MatMul (x, w0)  b = MatMul (x, w1)  s = Add (a, b)  m = Mul (s, b)  k = Add (a, s)
          q = Mul (k, k)  r = Add (m, q)  p = Softmax <axis = -1> (r)  y = MatMul (p, w2) }"""
    graph = model_from_text(text).graph
    wide = {"x": 8, "p": 8} | dict.fromkeys("absmkqr", 16)
    assert widths_of_unread(quantizer_setup(graph, GENERIC)) == wide
    narrow = widths_of_unread(quantizer_setup(graph, load_target("bitfusion")))
    assert narrow == wide | {"b": 8, "k": 8}


def widths_of_unread(setup: QuantizerSetup) -> dict[str, int]:
    return {group.name: group.unread_bits for group in setup.groups}
