"""Writes the trained network as ONNX, node by node, in two styles: with Scan nodes, and unrolled over time.

Torch exports loops of Python unrolled and `torch.scan` as Scan; both forms of one network compute the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from network import SruLayer, SruNet
    from torch import Tensor, nn

OPSET = 17
IR_VERSION = 8
PARTS = ("u", "f", "r")
"""Of a product: candidate, forget gate, reset gate."""


@dataclass
class GraphWriter:
    """Collects nodes and initializers; every method returns the names of the tensors it makes."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, op: str, name: str, *inputs: str, **attributes: object) -> str:
        """Append a node with one output, which has the node's name."""
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def split(self, name: str, source: str, outputs: list[str], axis: int) -> list[str]:
        """Append a Split into equal parts."""
        self.nodes.append(helper.make_node("Split", [source], outputs, name=name, axis=axis))
        return outputs

    def constant(self, name: str, value: Tensor) -> str:
        """Append an initializer, float32."""
        array = np.ascontiguousarray(value.detach().float().numpy())
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def linear(self, name: str, layer: nn.Linear, source: str) -> str:
        """Append MatMul and Add, as exporters write a product of sequences."""
        product = self.node("MatMul", name, source, self.constant(f"{name}.weight", layer.weight.T))
        return self.node("Add", f"{name}.out", product, self.constant(f"{name}.bias", layer.bias))

    def cell(self, name: str, parts: list[str], state: str, vectors: tuple[str, str]) -> tuple[str, str]:
        """Append one step of a direction, see `network.SruLayer`; returns the next cell and the state."""
        u, f, r = parts
        gates = []
        for gate, product, vector in (("f", f, vectors[0]), ("r", r, vectors[1])):
            seen = self.node("Mul", f"{name}{gate}v", state, vector)
            total = self.node("Add", f"{name}{gate}a", product, seen)
            gates.append(self.node("Sigmoid", f"{name}{gate}", total))
        kept = self.node("Mul", f"{name}k", gates[0], self.node("Sub", f"{name}d", state, u))
        cell = self.node("Add", f"{name}c", u, kept)
        return cell, self.node("Mul", f"{name}h", gates[1], cell)


def to_onnx(net: SruNet, frames: int, *, unrolled: bool) -> onnx.ModelProto:
    """Build the checked opset 17 model: ``frames`` float32 (N, frames, bands) to ``logits`` (N, classes).

    Args:
        net: the trained network.
        frames: length of a sequence.
        unrolled: write every time step out, in place of two Scan nodes for a layer.
    """
    write = GraphWriter()
    hidden, bands = net.layers[0].hidden, net.layers[0].product.in_features
    _zeros(write, [1, hidden] if unrolled else [hidden])
    x = "frames"
    for number, layer in enumerate(net.layers):
        if number:
            x = write.linear(f"proj{number}", net.projections[number - 1], x)
        product = write.linear(f"sru{number}", layer.product, x)
        x = _sru(write, f"l{number}", layer, (product, frames if unrolled else 0))
    mean = write.node("ReduceMean", "mean", x, axes=[1], keepdims=0)
    weight = write.constant("classifier.weight", net.classifier.weight)
    write.node(
        "Gemm", "logits", mean, weight, write.constant("classifier.bias", net.classifier.bias), transB=1
    )
    source = helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["N", frames, bands])
    classes = net.classifier.out_features
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])
    graph = helper.make_graph(write.nodes, "sru", [source], [logits], initializer=write.initializers)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="qtool-samples",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _zeros(write: GraphWriter, extents: list[int]) -> None:
    """Append ``state0``, the first cell: as many zeros as there are sequences, with these further extents."""
    write.initializers.append(numpy_helper.from_array(np.array(extents, np.int64), "extents"))
    batch = write.node("Shape", "batch", "frames", start=0, end=1)
    shape = write.node("Concat", "state0.shape", batch, "extents", axis=0)
    write.node("ConstantOfShape", "state0", shape)


def _sru(write: GraphWriter, name: str, layer: SruLayer, product: tuple[str, int]) -> str:
    """Append both directions, from the product of all frames; 0 frames stand for a Scan."""
    names = [f"{name}{way}{part}" for way in "ab" for part in PARTS]
    parts = write.split(f"{name}split", product[0], names, 2)
    states = []
    for place, way in enumerate("ab"):
        vectors = [
            write.constant(f"{name}{way}v{gate}", layer.recurrent[place, index])
            for index, gate in enumerate("fr")
        ]
        mine = parts[place * len(PARTS) :][: len(PARTS)]
        direction = _unrolled if product[1] else _scan
        states.append(direction(write, f"{name}{way}", mine, (vectors[0], vectors[1]), product[1]))
    return write.node("Concat", f"{name}out", *states, axis=2)


def _unrolled(write: GraphWriter, name: str, parts: list[str], vectors: tuple[str, str], frames: int) -> str:
    """Append all time steps; their tensors are (N, 1, hidden)."""
    order = range(frames) if name.endswith("a") else range(frames - 1, -1, -1)
    steps = [
        write.split(f"{part}steps", part, [f"{part}{time}" for time in range(frames)], 1) for part in parts
    ]
    cell, states = "state0", [""] * frames
    for time in order:
        cell, states[time] = write.cell(f"{name}{time}", [step[time] for step in steps], cell, vectors)
    return write.node("Concat", f"{name}seq", *states, axis=1)


def _scan(write: GraphWriter, name: str, parts: list[str], vectors: tuple[str, str], frames: int) -> str:
    """Append a Scan over the second axis; its body reads the vectors from around it."""
    body = GraphWriter()
    cell, state = body.cell(f"{name}.", [f"{name}.in.{part}" for part in PARTS], f"{name}.cell", vectors)
    described = {
        "inputs": [f"{name}.cell", *(f"{name}.in.{part}" for part in PARTS)],
        "outputs": [cell, state],
    }
    infos = {
        side: [helper.make_tensor_value_info(it, TensorProto.FLOAT, None) for it in names]
        for side, names in described.items()
    }
    backward = int(name.endswith("b"))
    sides = {f"scan_{side}_axes": [1] * count for side, count in (("input", len(PARTS)), ("output", 1))}
    ways = {
        f"scan_{side}_directions": [backward] * count
        for side, count in (("input", len(PARTS)), ("output", 1))
    }
    write.nodes.append(
        helper.make_node(
            "Scan",
            ["state0", *parts],
            [f"{name}last", f"{name}seq"],
            name=f"{name}scan",
            body=helper.make_graph(body.nodes, name, infos["inputs"], infos["outputs"]),
            num_scan_inputs=len(PARTS),
            **sides,
            **ways,
        )
    )
    return f"{name}seq"
