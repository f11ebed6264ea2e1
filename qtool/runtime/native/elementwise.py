"""Native Add, Sub and Mul (ONNX, opset 14) of stored codes."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.numerics import RequantRule, exact_requantizer
from qtool.runtime.native.codes import (
    MAX_WIDE_BITS,
    check_storable,
    code_bytes,
    empty,
    stored_type,
    stored_zero,
)
from qtool.runtime.native.epilogue import WIDE_BITS, prepare_epilogue
from qtool.runtime.native.proof import snap_is_exact
from qtool.runtime.node import Array, Kernel, Node, reach
from qtool.runtime.sums import common_unit, fixed_point_factors, gemmlowp_headroom, gemmlowp_requantizers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from qtool.runtime.native._kernels import Epilogue, Executor, Sum

_CHANNELS = 64


def add(node: Node, executor: Executor) -> Kernel:
    """Build ``a + b``."""
    layer = prepare_sum(node, 1)
    return _on_rows(node, lambda a, b, out: executor.sum(layer, a, b, out))


def sub(node: Node, executor: Executor) -> Kernel:
    """Build ``a - b``."""
    layer = prepare_sum(node, -1)
    return _on_rows(node, lambda a, b, out: executor.sum(layer, a, b, out))


def mul(node: Node, executor: Executor) -> Kernel:
    """Build ``a * b``."""
    parts = prepare_product(node)
    return _on_rows(node, lambda a, b, out: executor.product(*parts, a, b, out))


def prepare_product(node: Node) -> tuple[Epilogue, int, int]:
    """Return the epilogue of a product, and the stored zero points of both operands."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    first, second = node.inputs
    scale = np.full(_CHANNELS, np.float64(first.scale) * np.float64(second.scale))
    epilogue = prepare_epilogue(node, scale, reach(first) * reach(second), bits=WIDE_BITS)
    return epilogue, stored_zero(first), stored_zero(second)


def prepare_sum(node: Node, sign: int) -> Sum:
    """Return the sum that agrees with `qtool.runtime.sums` for every pair of codes.

    Args:
        node: a step Add or Sub.
        sign: 1 or -1, of the second operand.
    """
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    scales = np.array([node.inputs[0].scale, node.inputs[1].scale], np.float64)
    if node.output.is_float:
        return _sum(node, "real", scales[0], sign * scales[1])
    if node.rule is RequantRule.GEMMLOWP:
        return _gemmlowp(node, scales, sign)
    if node.rule is RequantRule.FLOAT:
        left, right = scales.astype(np.float32)
        return _sum(
            node, "float", left, right * np.float32(sign), divisor=float(np.float32(node.output.scale))
        )
    exact = _exact(node, sign) if node.rule is RequantRule.EXACT else None
    return exact or _fixed_point(node, scales / node.output.scale, sign)


def _sum(node: Node, rule: str, left: float, right: float, factor: float = 1.0, divisor: float = 1.0) -> Sum:
    from qtool.runtime.native._kernels import Sum

    first, second = node.inputs
    zero, lo, hi = 0, 0, 255
    if not node.output.is_float:
        lowest = node.output.qmin
        zero, lo, hi = stored_zero(node.output), node.lo - lowest, node.hi - lowest
    rounding = str(node.rounding)
    scales = float(left), float(right), float(factor), float(divisor)
    zeros = stored_zero(first), stored_zero(second)
    return Sum(rule, rounding, *scales, *zeros, zero, lo, hi, code_bytes(node.output))


def _exact(node: Node, sign: int) -> Sum | None:
    first, second = node.inputs
    unit, whole = common_unit(first.scale, second.scale)
    largest = reach(first) * whole[0] + reach(second) * whole[1]
    if exact_requantizer(unit, node.output.scale, largest) is None:
        return None
    return _scaled_sum(node, whole[0], sign * whole[1], unit, node.output.scale)


def _fixed_point(node: Node, real: NDArray[np.float64], sign: int) -> Sum:
    """Whole factors and a power of two: float64 holds their sum, and its quotient, exactly."""
    factors, shift = fixed_point_factors(real, node.rule)
    return _scaled_sum(node, factors[0], sign * factors[1], 1.0, 2.0**shift)


def _scaled_sum(node: Node, left: int, right: int, scale: float, divisor: float) -> Sum:
    if code_bytes(node.output) == 1 and snap_is_exact(np.array([scale]), np.array([divisor])):
        return _sum(node, "snap", left, right, scale / divisor)
    return _sum(node, "divide", left, right, scale, divisor)


def _gemmlowp(node: Node, scales: NDArray[np.float64], sign: int) -> Sum:
    raised = gemmlowp_headroom(node)
    made = gemmlowp_requantizers(scales, node.output.scale, raised)
    layer = _sum(node, "gemmlowp", 1.0, 1.0)
    left, left_shift, right, right_shift, result, result_shift = (
        int(value) for one in made for value in (one.multiplier, one.shift)
    )
    layer.set_gemmlowp(left, left_shift, right, right_shift, result, result_shift, sign, raised)
    return layer


def _on_rows(node: Node, call: Callable[[Array, Array, Array], None]) -> Kernel:
    """Build a kernel that broadcasts as numpy does; a single row is repeated without a copy."""

    def run(a: Array, b: Array) -> Array:
        shape = np.broadcast_shapes(a.shape, b.shape)
        out = empty(node, shape)
        columns = shape[-1] if shape else 1
        wide = common_type(node)
        first, second = (_rows(x.astype(wide, copy=False), shape, columns) for x in (a, b))
        call(first, second, out.reshape(-1, columns))
        return out

    return run


def common_type(node: Node) -> np.dtype[Any]:
    """Return the stored type that holds the codes of both operands."""
    return np.result_type(*(stored_type(info) for info in node.inputs))


def _rows(x: Array, shape: tuple[int, ...], columns: int) -> Array:
    if x.shape == shape or (x.size == columns == prod(x.shape[-1:])):
        return x.reshape(-1, columns)
    return np.ascontiguousarray(np.broadcast_to(x, shape)).reshape(-1, columns)


KERNELS = {"add": add, "mul": mul, "sub": sub}
