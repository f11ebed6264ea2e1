"""How much of a network runs on integers, how much is only simulated, and how much stays float."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwmodels import FLOAT
from passes.analysis.sizes import Sizes
from passes.analysis.workloads import Workloads
from passes.ir.layers import elements
from passes.ir.setup import BY_PLAN
from qtool.report import CoverageReport, Shares

if TYPE_CHECKING:
    from passes.ir.plan import LayerBits
    from passes.ir.setup import QuantizerSetup
    from qtool.compilation import Compilation

HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN")
INTEGER, SIMULATED, FLOATING = "integer", "simulated", "float"
NOT_ASKED = "the packed form was not asked for"
STORED = "its weights are stored as integers and multiplied as floats"


def runs(done: Compilation, layer: LayerBits) -> tuple[str, str | None]:
    """Return how a layer of the plan runs, and why not on integers alone.

    ``integer`` has a proof: an artifact whose runtime has no other arithmetic. Without one, the Q/DQ model
    says where to round, and whether a runtime multiplies integers is up to it: ``simulated``.
    """
    if layer.precision.act_bits == FLOAT.act_bits:
        return (FLOATING, BY_PLAN) if layer.precision == FLOAT else (SIMULATED, STORED)
    if done.lowered.packed is not None:
        return INTEGER, None
    return SIMULATED, done.lowered.refusal or NOT_ASKED


def coverage(done: Compilation, setup: QuantizerSetup) -> CoverageReport:
    """Weigh layers by their work and weights; those that stay float by their constants, once each."""
    works = done.ctx.get(Workloads(), done.model)
    macs, weights = dict.fromkeys((INTEGER, SIMULATED, FLOATING), 0), dict.fromkeys(_KINDS, 0)
    for name, layer in done.model.plan.layers.items():
        kind, _ = runs(done, layer)
        macs[kind if layer.precision.act_bits != FLOAT.act_bits else FLOATING] += works[name].macs
        weights[kind] += works[name].weight_count
    left = _left_out(done, setup, set(works))
    macs[FLOATING] += left
    weights[FLOATING] += left
    acts = _activations(done, setup)
    shares = {
        kind: Shares(*(part[kind] / max(sum(part.values()), 1) for part in (macs, weights, acts)))
        for kind in _KINDS
    }
    return CoverageReport(
        macs=1 - shares[FLOATING].macs, weight_bytes=1 - shares[FLOATING].weight_bytes, kinds=shares
    )


_KINDS = (INTEGER, SIMULATED, FLOATING)


def _left_out(done: Compilation, setup: QuantizerSetup, known: set[str]) -> int:
    """Count the constants of the layers that cannot be quantized."""
    nodes = {node.name: node for node in done.model.graph.nodes}
    return sum(
        int(tensor.values.size)
        for entry in setup.unquantized
        if entry.op in HEAVY and entry.name in nodes and entry.name not in known
        for tensor in nodes[entry.name].inputs
        if hasattr(tensor, "values")
    )


def _activations(done: Compilation, setup: QuantizerSetup) -> dict[str, int]:
    """Count the elements of one sample that inputs and operators hand on, by kind."""
    graph, sizes = done.model.graph, done.ctx.get(Sizes(), done.model)
    codes = {member for group in setup.groups for member in group.members}
    # The result of an operator that absorbs a clamp never exists by itself.
    absorbed = {node.outputs[0].name for node in graph.nodes if node.name in setup.fused}
    found = dict.fromkeys(_KINDS, 0)
    kind = SIMULATED if done.lowered.packed is None else INTEGER
    for tensor in (*graph.inputs, *(tensor for node in graph.nodes for tensor in node.outputs)):
        if tensor.dtype == np.float32 and tensor.name and tensor.name not in absorbed:
            found[kind if tensor.name in codes else FLOATING] += elements(tensor, sizes)
    return found
