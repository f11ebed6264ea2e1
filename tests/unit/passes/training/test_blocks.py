"""Where a graph is cut into blocks, and what crosses the cuts."""

from __future__ import annotations

from pathlib import Path

import pytest

from passes.ir.layers import find_layers
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, read_model
from passes.training.blocks import Block, find_blocks
from passes.training.scope import Scope


def blocks_of(model: Model, scope: Scope = Scope.BLOCK, limit: int = 8) -> tuple[Block, ...]:
    return find_blocks(model.graph, find_layers(model.graph)[0], scope, limit)


def names(blocks: tuple[Block, ...]) -> list[list[str]]:
    return [[layer.name for layer in block.layers] for block in blocks]


def test_a_residual_block_takes_the_stem_and_ends_behind_the_sum(residual: Model) -> None:
    blocks = blocks_of(residual)
    assert names(blocks) == [["stem", "first", "second"], ["head"]]
    assert [block.entries for block in blocks] == [("x",), ("f",)]
    assert [block.exits for block in blocks] == [("f",), ("y",)]


def test_single_layers_carry_the_shortcut_along(residual: Model) -> None:
    blocks = blocks_of(residual, Scope.LAYER)
    assert names(blocks) == [["stem"], ["first"], ["second"], ["head"]]
    assert [block.entries for block in blocks] == [("x",), ("r",), ("d", "r"), ("f",)]


def test_a_block_of_too_many_layers_is_cut(residual: Model) -> None:
    assert names(blocks_of(residual, limit=2)) == [["stem"], ["first"], ["second"], ["head"]]


def test_a_chain_is_cut_into_threes() -> None:
    lines = "  ".join(f"[m{at}] t{at + 1} = MatMul(t{at}, w)" for at in range(7))
    model = model_from_text(
        f'<ir_version: 8, opset_import: ["" : 13]> g (float[N,2] t0) => (float[N,2] t7)'
        f" <float[2,2] w = {{1, 2, 3, 4}}> {{ {lines} }}"
    )
    assert names(blocks_of(model)) == [["m0", "m1", "m2"], ["m3", "m4", "m5"], ["m6"]]


def test_what_no_layer_touches_is_computed_anew_rather_than_kept() -> None:
    model = model_from_text(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[N,2] x, float[N,2] mask) => (float[N,2] y)'
        " <float[2,2] w = {1, 2, 3, 4}>"
        " { m = Exp(mask)  [one] a = MatMul(x, w)  b = Add(a, m)  [two] c = MatMul(b, w)  y = Add(c, m) }"
    )
    first, second = blocks_of(model, Scope.LAYER)
    assert (first.entries, first.exits) == (("mask", "x"), ("b",))
    assert (second.entries, second.exits) == (("b", "mask"), ("y",))


def test_activations_whose_samples_are_not_in_front_are_not_kept() -> None:
    model = model_from_text(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[N,2] x) => (float[2,N] y)'
        " <float[2,2] w = {1, 2, 3, 4}>"
        " { [one] a = MatMul(x, w)  b = Transpose(a)  c = Relu(b)  d = Transpose(c)"
        " [two] e = MatMul(d, w)  y = Transpose(e) }"
    )
    assert [block.exits for block in blocks_of(model, Scope.LAYER)] == [("d",), ("e",)]


def test_a_graph_without_layers_has_no_blocks() -> None:
    model = model_from_text(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[N,2] x) => (float[N,2] y) { y = Relu(x) }'
    )
    assert blocks_of(model) == ()


@pytest.mark.needs_data
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mobilenet_v2_1.0_224", [3] * 17 + [2]),
        ("squeezenet1_1", [1] + [3] * 8 + [1]),
        ("resnet20_cifar10", [3] + [2] * 8 + [1]),
    ],
)
def test_blocks_of_well_known_networks(name: str, sizes: list[int], shared_data: Path) -> None:
    blocks = blocks_of(read_model(shared_data / "models" / f"{name}.onnx"))
    assert [len(block.layers) for block in blocks] == sizes


def test_what_leaves_nothing_to_keep_is_joined_to_what_follows() -> None:
    # The first axis of the states is time, so that samples cannot be taken out of them.
    model = model_from_text(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[5,N,2] x) => (float[N,2] y)'
        " <float[1,2,2] w = {1, 2, 3, 4}, float[2,2] v = {1, 2, 3, 4}>"
        " { [one] s = RNN <hidden_size=2> (x, w, w)  q = Squeeze(s)  [two] p = MatMul(q, v)"
        "   m = Transpose <perm=[1,0,2]> (p)  [three] t = MatMul(m, v)"
        "   y = ReduceMean <axes=[1], keepdims=0> (t) }"
    )
    (block,) = blocks_of(model, Scope.LAYER)
    assert block.name == "one + two + three"
    assert (block.entries, block.exits) == (("x",), ("y",))
    assert {"s", "t"} <= block.produced
