"""Bring a graph into the form that every later pass expects, without changing what it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_graphsurgeon as gs
import onnxruntime

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.execution.runtime_types import infer_runtime_types
from passes.ir.known_integers import known_integers
from passes.ir.missing_shapes import infer_missing_shapes, sharpen_shapes
from passes.ir.ops import OpClass, op_info
from passes.transform.fold_affine import fold_affine
from passes.transform.fold_fills import fold_fills
from passes.transform.fold_indices import fold_indices, name_slices
from passes.transform.fold_scalings import fold_scalings
from passes.transform.fold_shapes import fold_shapes, join_reshapes, settle_reshapes, spell_out_shapes
from passes.transform.fuse_bias import fuse_bias
from passes.transform.fuse_clamps import fuse_clamps
from passes.transform.fuse_functions import fuse_functions
from passes.transform.fuse_masks import fuse_masks
from passes.transform.fuse_scans import fuse_scans
from passes.transform.fuse_tokens import fuse_tokens
from passes.transform.index_values import index_values
from passes.transform.inline_branches import inline_branches
from passes.transform.name_extents import name_extents
from passes.transform.settle_types import settle_types
from passes.transform.single_precision import to_single_precision
from passes.transform.sink_transposes import sink_transposes
from passes.transform.split_recurrent import split_recurrent
from passes.transform.split_slices import split_slices
from passes.transform.split_sums import split_sums
from passes.transform.unroll_loops import unroll_loops
from passes.transform.unroll_scans import unroll_scans

if TYPE_CHECKING:
    from passes.ir.model import Model

onnxruntime.set_default_logger_severity(4)  # graphsurgeon folds constants with it and passes its warnings on

_FOLDABLE = frozenset({"Constant", "Shape", "ConstantOfShape", "Range", "If"})
_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True)
class Canonicalize(Pass):
    """Fold constants and shapes, drop copies, give every layer weights of its own, settle on one spelling.

    After it, constants are initializers, no initializer serves two purposes, a Gemm has alpha = beta = 1
    and a bias of rank 1, and a MatMul followed by the addition of a vector is a Gemm. GELU is one operator,
    a Split of floats is Slices, a Sum is additions, a token put in front of others is a sum, and attention's
    scaling of scores is in the weights of the queries. What treats every element or channel alike stands
    before a Transpose behind a convolution; factors and summands of its channels are in its weights and its
    bias. A Scan of a recurrent cell is an LSTM, GRU or RNN, and such a node has one direction and gives the
    sequence of its states only. A Scan or Loop of a few steps without weights is written out. A network with
    weights in half or double precision is in single precision, but for its inputs and outputs.
    """

    name: ClassVar[str] = "canonicalize"

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Apply every rule once, in the order of the class documentation."""
        before = len(model.graph.nodes)
        folded = infer_runtime_types(model) + _fold_constants(model) + _to_single_precision(model)
        folded += _simplify(model.graph) + fuse_functions(model)
        folded += _fold_constants(model) + _fuse_masks(model)
        graph = model.graph
        fused = fuse_scans(graph) + _unroll(model) + fold_fills(graph, known_integers(graph))
        removed = _remove_copies(graph)
        fused += (
            split_recurrent(graph)
            + split_sums(graph)
            + split_slices(graph)
            + fuse_tokens(graph, known_integers(graph))
            + fuse_bias(graph)
        )
        normalized = sum([_normalize_gemm(node) for node in graph.nodes if node.op == "Gemm"])
        graph.cleanup().toposort()
        unshared = _unshare(graph)
        scaled = fold_affine(graph)
        graph.cleanup().toposort()
        scaled += fold_scalings(graph)
        graph.cleanup().toposort()
        inferred = infer_missing_shapes(model)
        name_extents(graph)
        facts = {"nodes_before": before, "nodes_after": len(graph.nodes), "copies_removed": removed}
        changed = (
            folded
            + fused
            + removed
            + normalized
            + unshared
            + scaled
            + inferred
            + abs(before - len(graph.nodes))
        )
        wrote = Aspect.GRAPH | Aspect.WEIGHTS if changed else Aspect.NONE
        return PassResult(wrote, f"{before} nodes became {len(graph.nodes)}", facts)


def _fold_constants(model: Model) -> int:
    """Compute in advance what does not depend on data, and what depends on symbolic axes in simple ways."""
    graph = model.graph
    total = settle_types(graph)
    if not any(_may_fold(node) for node in graph.nodes):
        return total
    spell_out_shapes(graph)
    named: frozenset[str] = frozenset()
    while True:
        # Folded nodes stay behind without results until the next cleanup.
        graph.fold_constants(
            should_exclude_node=lambda node: node.op in _QUANTIZERS, flatten_subgraphs=False
        ).cleanup()
        inlined = inline_branches(graph)
        known = known_integers(graph)
        indices = index_values(graph, known)
        folded = fold_shapes(graph) + join_reshapes(graph, known) + fold_indices(graph, indices)
        newly = (name_slices(graph, known, indices) | name_extents(graph)) - named
        folded += settle_reshapes(graph)
        if not folded and not newly and not inlined:
            return total
        total += folded + inlined
        named |= newly
        graph.cleanup().toposort()
        sharpen_shapes(model, named)


def _to_single_precision(model: Model) -> int:
    changed = 0 if model.mapped is not None else to_single_precision(model.graph)
    if changed:
        model.graph.cleanup().toposort()
    return changed


def _simplify(graph: gs.Graph) -> int:
    """Bring operators next to the convolutions before them, and clamps into one spelling."""
    changed = sink_transposes(graph)
    if changed:
        _remove_copies(graph)
        graph.cleanup().toposort()
    clamps = fuse_clamps(graph)
    if clamps:
        graph.cleanup().toposort()
    return changed + clamps


def _may_fold(node: gs.Node) -> bool:
    """Tell whether a node is constant, or may turn out to be."""
    constant = bool(node.inputs) and all(isinstance(tensor, gs.Constant) for tensor in node.inputs)
    return node.op in _FOLDABLE or (constant and node.op not in _QUANTIZERS)


def _fuse_masks(model: Model) -> int:
    fused = fuse_masks(model.graph, index_values(model.graph, known_integers(model.graph)))
    if fused:
        model.graph.cleanup().toposort()
    return fused


def _unroll(model: Model) -> int:
    """Write out Scans and Loops; the steps of some are known once others in front of them are written out."""
    unrolled = 0
    while found := unroll_scans(model.graph) + unroll_loops(model.graph):
        unrolled += found
        model.graph.cleanup().toposort()
        sharpen_shapes(model)
        _fold_constants(model)
    return unrolled


def _remove_copies(graph: gs.Graph) -> int:
    """Take out Identity and inference-time Dropout; a copy of an input that is an output stays."""
    outputs = {tensor.name for tensor in graph.outputs}
    removed = 0
    for node in graph.nodes:
        if node.op not in ("Identity", "Dropout") or not node.inputs or not node.outputs:
            continue  # graphsurgeon leaves folded nodes behind, without tensors, until the next cleanup
        if node.op == "Dropout" and (_mask_used(node, outputs) or _may_train(node)):
            continue
        source, copy = node.inputs[0], node.outputs[0]
        if copy.name not in outputs:
            for reader in list(copy.outputs):
                reader.inputs = [source if tensor is copy else tensor for tensor in reader.inputs]
        elif isinstance(source, gs.Variable) and len(source.inputs) == 1 and source.name not in outputs:
            _replace_output(source, copy)
        else:
            continue
        node.inputs.clear()
        node.outputs.clear()
        removed += 1
    return removed


def _replace_output(source: gs.Variable, copy: gs.Variable) -> None:
    producer = source.inputs[0]
    for reader in list(source.outputs):
        reader.inputs = [copy if tensor is source else tensor for tensor in reader.inputs]
    copy.inputs.clear()
    producer.outputs = [copy if tensor is source else tensor for tensor in producer.outputs]


def _mask_used(node: gs.Node, outputs: set[str]) -> bool:
    return any(tensor.outputs or tensor.name in outputs for tensor in node.outputs[1:])


def _may_train(node: gs.Node) -> bool:
    """Tell whether a Dropout drops something, or is told so at run time (training_mode, opset 12)."""
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    if isinstance(mode, gs.Constant):
        return bool(np.any(mode.values))
    return mode is not None and bool(mode.name)


def _normalize_gemm(node: gs.Node) -> bool:
    """Fold alpha into the weight, beta into the bias, make the bias a vector; False if nothing changed."""
    weight = node.inputs[1]
    if not isinstance(weight, gs.Constant):
        return False
    alpha, beta = node.attrs.get("alpha", 1.0), node.attrs.get("beta", 1.0)
    before = list(node.inputs)
    if alpha != 1.0:
        node.inputs[1] = _fresh(weight, f"{node.name}.weight", weight.values * np.float32(alpha))
        node.attrs.pop("alpha")
    if len(node.inputs) > 2 and isinstance(node.inputs[2], gs.Constant):
        bias, channels = node.inputs[2], weight.shape[0 if node.attrs.get("transB", 0) else 1]
        values = np.asarray(bias.values * np.asarray(beta, bias.values.dtype))
        alike = values.size == 1 or (values.size == channels and values.shape[-1] == channels)
        if alike and (beta != 1.0 or values.shape != (channels,)):
            vector = np.broadcast_to(values.reshape(-1), (channels,)).copy()
            node.inputs[2] = _fresh(bias, f"{node.name}.bias", vector)
            node.attrs.pop("beta", None)
    return any(old is not new for old, new in zip(before, node.inputs, strict=True))


def _unshare(graph: gs.Graph) -> int:
    """Give each layer its own weight and bias, and each constant operand its own tensor."""
    copies, outputs = 0, {tensor.name for tensor in graph.outputs}
    for node in graph.nodes:
        if op_info(node.op, node.domain).kind is not OpClass.LAYER:
            continue
        for index, tensor in enumerate(node.inputs):
            shared = len(tensor.outputs) > 1 or tensor.name in outputs
            if isinstance(tensor, gs.Constant) and shared:
                node.inputs[index] = _fresh(tensor, f"{tensor.name}.{node.name}", tensor.values.copy())
                copies += 1
    return copies


def _fresh(template: gs.Constant, name: str, values: np.ndarray) -> gs.Constant:
    return gs.Constant(name, np.ascontiguousarray(values.astype(template.values.dtype)))
