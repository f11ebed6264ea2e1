"""How large the sums of an integer program can get, proved from its weights before any of it runs.

A term of a sum can be zero, because an activation can hold its zero point and padding does. So the largest
sum of any part of the terms, in any order, is that of all terms that can be positive, each at its largest:
what holds for it holds for every intermediate value of every kernel. The bias counts as one more term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import LoweringError
from passes.ir.kinds import data_inputs, node_kind
from passes.ir.ops import OpClass, op_info
from passes.lowering.bias import quantization_of
from passes.lowering.terms import layer_sums, node_sums, span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import onnx_graphsurgeon as gs

    from hwmodels import Rules
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from passes.ir.setup import QuantizerSetup

INT32_BITS, WIDEST = 32, 64
_NARROW_BITS = 8


@dataclass(frozen=True, slots=True)
class AccumulatorBound:
    """The range of the sums of one operator.

    Attributes:
        name: of the node.
        op: its operator.
        lowest: least value that a sum or a part of it can have; at most 0.
        highest: greatest such value; at least 0.
        channel: output channel with the widest range; 0 where all are alike.
        widest_operand: bits of the wider of the two factors, or of the terms.
        available: bits of the target's accumulator.
    """

    name: str
    op: str
    lowest: int
    highest: int
    channel: int
    widest_operand: int
    available: int

    @property
    def needed(self) -> int:
        """Least width, in bits, of a two's complement register that holds every sum."""
        return max(self.highest.bit_length(), (-self.lowest - 1).bit_length() if self.lowest else 0) + 1


def accumulator_bounds(model: Model, setup: QuantizerSetup) -> tuple[AccumulatorBound, ...]:
    """Bound the sums of every integer operator, in graph order.

    Products of two activations, means and pools whose extents are known only at run time are left out: the
    runtime checks them when it meets them.

    Args:
        model: graph and plan, with scales.
        setup: the quantizable part of the graph.

    Raises:
        LoweringError: the plan lacks a scale, or a bias does not fit 32 bits.
    """
    return tuple(_bounds(model, setup))


def check_accumulators(model: Model, setup: QuantizerSetup, kernel_bits: int = WIDEST) -> None:
    """Refuse a plan under which a sum could leave the accumulator.

    Args:
        model: graph and plan.
        setup: the quantizable part of the graph, with the rules of the target.
        kernel_bits: width of the accumulators that operands of at most 8 bits will meet in the kernels, where
            it is less than the target's.

    Raises:
        LoweringError: a sum could overflow; the message names the first operator and its worst channel.
    """
    for bound in _bounds(model, setup):
        narrow = bound.widest_operand <= _NARROW_BITS
        available = min(bound.available, kernel_bits) if narrow else bound.available
        if bound.needed > available:
            raise LoweringError(
                f"layer {bound.name} ({bound.op}): sums of channel {bound.channel} reach {bound.lowest} to "
                f"{bound.highest} and need {bound.needed} bits; the accumulator has {available}. Give the "
                "layer fewer bits, or compile for a target with a wider accumulator"
            )


def _bounds(model: Model, setup: QuantizerSetup) -> Iterator[AccumulatorBound]:
    layers = {layer.name: layer for layer in setup.layers}
    for node in model.graph.nodes:
        found = None
        if node.name in layers:
            found = _layer(layers[node.name], model.plan, setup)
        elif node.name in setup.nodes and node_kind(node) is OpClass.ARITHMETIC:
            found = _arithmetic(node, model.plan, setup)
        if found is not None:
            yield found


def _layer(layer: Layer, plan: QuantPlan, setup: QuantizerSetup) -> AccumulatorBound | None:
    sums = layer_sums(layer, plan)
    if sums is None:
        return None
    lowest, highest = sums
    factors = [factor.name for factor in (layer.act, layer.weight, layer.rhs) if factor is not None]
    worst = int(np.argmax(np.maximum(highest, -lowest - 1)))
    ends = int(lowest[worst]), int(highest[worst])
    widest = _widest(factors, plan)
    return AccumulatorBound(
        layer.name, layer.op, *ends, worst, widest, _available([setup.rules[layer.name]], widest)
    )


def _arithmetic(node: gs.Node, plan: QuantPlan, setup: QuantizerSetup) -> AccumulatorBound | None:
    """Bound an operator without weights; machines name accumulators by layer, so the narrowest counts."""
    names = [tensor.name for tensor in data_inputs(node, op_info(node.op))]
    if not plan.tensors.keys() >= set(names):
        return None
    ends = node_sums(node, [span(quantization_of(plan, name, node.name)) for name in names])
    if ends is None:
        return None
    widest = _widest(names, plan)
    return AccumulatorBound(node.name, node.op, *ends, 0, widest, _available(setup.rules.values(), widest))


def _widest(names: Iterable[str], plan: QuantPlan) -> int:
    return max(plan.tensors[name].spec.format.bits for name in names)


def _available(rules: Iterable[Rules], widest: int) -> int:
    wide = widest > _NARROW_BITS
    widths = [rule.wide_accumulator_bits if wide else rule.accumulator_bits for rule in rules]
    return min(widths, default=INT32_BITS)
