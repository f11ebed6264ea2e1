"""Give layers a normalization of their own where a sum reads the same results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import onnx_graphsurgeon as gs

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.ir.setup import quantizer_setup
from passes.ir.tensor_groups import STREAM_BITS

if TYPE_CHECKING:
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup

_NORMS = frozenset({"LayerNormalization", "RMSNormalization"})
_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True)
class SplitNorms(Pass):
    """Repeat normalizations that layers and sums both read.

    In a transformer that normalizes behind its sums (BERT), the results of a normalization are multiplied by
    layers and are terms of the next sum. Layers want few bits, and channels evened out by `smooth`; sums want
    16 bits. With a normalization for each, which costs little beside the layers, both get what they want.
    Targets without 16-bit activations are left alone.
    """

    name: ClassVar[str] = "split-norms"

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Repeat every such normalization once."""
        setup = quantizer_setup(model.graph, ctx.target)
        if not _has_wide(setup):
            return PassResult(Aspect.NONE, "the target has no 16-bit activations", {"split": 0})
        layers = {layer.name for layer in setup.layers}
        norms = [node for node in model.graph.nodes if node.op in _NORMS and node.name in setup.nodes]
        split = sum([_split(model.graph, node, layers) for node in norms])
        if split:
            model.graph.toposort()
        wrote = Aspect.GRAPH | Aspect.WEIGHTS if split else Aspect.NONE
        return PassResult(wrote, f"{split} of {len(norms)} normalizations repeated", {"split": split})


def _has_wide(setup: QuantizerSetup) -> bool:
    pairs = (pair for rules in setup.rules.values() for pair in rules.precisions)
    return any(pair.act_bits == STREAM_BITS for pair in pairs)


def _split(graph: gs.Graph, node: gs.Node, layers: set[str]) -> int:
    """Move the layers to a copy of a normalization, if anything else reads its results."""
    result = node.outputs[0]
    by_layers = [reader for reader in result.outputs if _is_layer(reader, layers)]
    if result in graph.outputs or len(by_layers) in (0, len(result.outputs)):
        return 0
    name = f"{node.name}.layers"
    inputs = [
        gs.Constant(f"{it.name}.layers", it.values.copy()) if isinstance(it, gs.Constant) else it
        for it in node.inputs
    ]
    copy = gs.Variable(f"{result.name}.layers", result.dtype, result.shape)
    graph.nodes.append(gs.Node(node.op, name, dict(node.attrs), inputs, [copy]))
    for reader in by_layers:
        reader.inputs = [copy if it is result else it for it in reader.inputs]
    return 1


def _is_layer(node: gs.Node, layers: set[str]) -> bool:
    """Tell whether a node is a layer, or a view that nothing but layers reads."""
    if node.name in layers:
        return True
    readers = node.outputs[0].outputs if node.op in _VIEWS else []
    return bool(readers) and all(_is_layer(reader, layers) for reader in readers)
