"""Prepares LSTM, GRU and RNN (ONNX, opset 22) for the native kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.artifact.recurrent import UNIT_BITS
from passes.numerics import pack_gemm
from qtool.runtime.gates import unit_scaler
from qtool.runtime.native.codes import MAX_BITS, MAX_WIDE_BITS, check_storable, stored_max, stored_zero
from qtool.runtime.native.epilogue import ACC_BITS, prepare_epilogue
from qtool.runtime.native.matrix import Matrices, column_sums
from qtool.runtime.native.wide import sums_epilogue
from qtool.runtime.node import Node, reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact import PackedWeight
    from qtool.runtime.native._kernels import Executor, Gemm, Recurrent, Rescale

STATE_ZERO = 128
"""What is stored for the code 0 of a state."""
_GREATEST_STATE = 255


def prepare_recurrent(node: Node, executor: Executor) -> tuple[Gemm, Recurrent]:
    """Return the product of the input with its weight, and the layer that takes its sums.

    Raises:
        ArtifactError: weights, the input or the state have more than 8 bits, or sums do not fit 32 bits.
        InputError: scales do not belong together.
    """
    from qtool.runtime.native._kernels import Recurrent

    check_storable(node, MAX_BITS, MAX_WIDE_BITS)
    step, info, hidden_weight = node.step, node.inputs[0], node.step.hidden_weight
    bits = step.integer("state_bits")
    if hidden_weight is None or step.table is None or step.bias is None or bits > MAX_BITS:
        node.fail(f"the native kernels have states of {MAX_BITS} bits or less; the reference engine runs it")
    levels = (1 << bits - 1) - 1
    enter, leave = np.split(np.asarray(step.bias, np.int64), 2)
    product, largest = _product(node, node.weight, stored_max(info), stored_zero(info), executor)
    inputs = _rescale(node, node.weight, info.scale, largest * reach(info), enter)
    whole, largest = _product(node, hidden_weight, _GREATEST_STATE, STATE_ZERO, executor)
    state = _rescale(node, hidden_weight, 1.0 / levels, largest * levels, leave)
    cell, hidden = _cell(node), hidden_weight.shape[1]
    parts: tuple[Gemm, Gemm | None] = (whole, None)
    if cell == "gru_before":
        cuts = slice(0, 2 * hidden), slice(2 * hidden, None)
        first, last = (_part(hidden_weight, cut, executor) for cut in cuts)
        parts = first, last
    epilogue = prepare_epilogue(node, np.full(hidden, 2.0**-UNIT_BITS), 1 << UNIT_BITS)
    table = step.table.astype(np.int32)
    return product, Recurrent(cell, inputs, state, table, levels, epilogue, *parts)


def _cell(node: Node) -> str:
    if node.step.op != "gru":
        return node.step.op
    return "gru_after" if node.step.integer("linear_before_reset") else "gru_before"


def _product(
    node: Node, weight: PackedWeight, greatest: int, zero: int, executor: Executor
) -> tuple[Gemm, int]:
    """Return a matrix product that writes sums, and the greatest sum of the magnitudes of its weights.

    Args:
        node: the step, for messages.
        weight: a matrix (outputs, depth).
        greatest: stored activation.
        zero: stored zero point of the activations.
        executor: sums up weights.
    """
    if weight.bits > MAX_BITS:
        node.fail(f"the native kernels take weights of {MAX_BITS} bits or less, found {weight.bits}")
    zeros = np.broadcast_to(weight.zero_point, weight.shape[0]) - weight.format.qmin
    outputs, depth = weight.shape
    matrices = Matrices(weight.data, outputs, depth, 1, np.ascontiguousarray(zeros, np.int32))
    return _gemm(matrices, weight.bits, greatest, zero, executor)


def _part(weight: PackedWeight, rows: slice, executor: Executor) -> Gemm:
    """Return the product of a state with some rows of its weight."""
    codes = weight.unpack_stored()[rows]
    zeros = np.broadcast_to(weight.zero_point, weight.shape[0])[rows] - weight.format.qmin
    outputs, depth = codes.shape
    data = pack_gemm(codes, weight.format)
    matrices = Matrices(data, outputs, depth, 1, np.ascontiguousarray(zeros, np.int32))
    return _gemm(matrices, weight.bits, _GREATEST_STATE, STATE_ZERO, executor)[0]


def _gemm(matrices: Matrices, bits: int, greatest: int, zero: int, executor: Executor) -> tuple[Gemm, int]:
    from qtool.runtime.native._kernels import Gemm

    sums, magnitudes = column_sums(executor, matrices, bits)
    nothing = np.zeros(matrices.n, np.int64)
    outputs, depth = matrices.n, matrices.k
    return Gemm(
        matrices.data,
        bits,
        outputs,
        depth,
        1,
        greatest,
        matrices.zero,
        sums,
        zero,
        nothing,
        sums_epilogue(outputs),
    ), int(magnitudes.max())


def _rescale(
    node: Node, weight: PackedWeight, scale: float, largest: int, bias: NDArray[np.int64]
) -> Rescale:
    from qtool.runtime.native._kernels import Rescale

    if largest.bit_length() >= ACC_BITS:
        node.fail(f"sums reach {largest}; this native kernel adds in {ACC_BITS} bits, the reference in 53")
    scaler = unit_scaler(weight, scale, largest)
    multiplier, shift = (np.ascontiguousarray(it, np.int32) for it in (scaler.multiplier, scaler.shift))
    # One number stands for a bias of equal ones that was read from a file.
    return Rescale(multiplier, shift, np.ascontiguousarray(bias))
