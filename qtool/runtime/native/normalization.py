"""Prepares softmax and layer normalization (ONNX, opsets 13 and 17) for the native kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.native.codes import MAX_WIDE_BITS, check_storable, code_bytes, stored_zero
from qtool.runtime.native.epilogue import WIDE_BITS, prepare_epilogue
from qtool.runtime.normalization import MAX_RECIPROCAL, NORM_BITS, RECIPROCAL_BITS

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import LayerNorm, Softmax
    from qtool.runtime.node import Node


def prepare_softmax(node: Node) -> Softmax:
    """Return a softmax along rows of codes.

    Raises:
        ArtifactError: there is a mask, the output is no code, or its scale leaves the range of the division.
    """
    from qtool.runtime.native._kernels import Softmax

    if len(node.inputs) > 1:
        node.fail("a softmax with a mask runs in the reference engine")
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    table, output = node.step.table, node.output
    if table is None or output.is_float:
        node.fail("expected a table, and codes to write")
    reciprocal = math.floor(2**RECIPROCAL_BITS / output.scale + 0.5)
    if not 1 <= reciprocal <= MAX_RECIPROCAL:
        node.fail(f"the output's scale {output.scale} leaves the range of the integer division")
    powers = np.zeros(1 << 8 * code_bytes(node.inputs[0]), np.int32)
    powers[: len(table)] = table
    lowest = output.qmin
    return Softmax(powers, reciprocal, stored_zero(output), node.lo - lowest, node.hi - lowest)


def prepare_layer_norm(node: Node) -> LayerNorm:
    """Return a normalization along rows of codes.

    Raises:
        ArtifactError: sums do not fit float64.
        InputError: scales do not belong together.
    """
    from qtool.runtime.native._kernels import LayerNorm

    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    step = node.step
    if step.table is None:
        node.fail("lacks its table")
    gains, shifts = np.split(step.table, 2)
    length = step.integer("length")
    unit = np.full(length, 2.0 ** -(NORM_BITS + step.integer("gain_bits")))
    largest = (math.isqrt(length) + 1 << NORM_BITS) * int(np.abs(gains).max()) + int(np.abs(shifts).max())
    return LayerNorm(
        gains.astype(np.float64),
        shifts.astype(np.float64),
        bool(step.integer("center")),
        step.integer("epsilon"),
        stored_zero(node.inputs[0]),
        prepare_epilogue(node, unit, largest, bits=WIDE_BITS),
    )
