"""Checks the steps that read integers that are no codes: indices, masks, lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.artifact.ops import OPS, Family
from passes.artifact.weight import WeightLayout

if TYPE_CHECKING:
    from passes.artifact.step import Step
    from passes.artifact.tensor import TensorInfo

_BIT = (1, False, 1.0, 0)
"""Parameters of a tensor of truth values."""


def integer_problem(step: Step, operands: list[TensorInfo], output: TensorInfo) -> str:
    """Say what is wrong with the integers that a step reads or writes, or nothing.

    Args:
        step: of known operation, with as many inputs as that takes.
        operands: what it reads.
        output: what it writes.
    """
    family = OPS[step.op].family
    if family is Family.INDEX:
        return _index_problem(step, operands[0], output)
    if family is Family.ARITHMETIC:
        return _code_problem(step, operands, output)
    counted = {"trim": "axes", "reshape_like": "shape"}.get(step.op)
    if counted and len(step.integers(counted)) != len(step.integers("like_axes")):
        return f"expected as many like_axes as {counted}"
    return ""


def _code_problem(step: Step, operands: list[TensorInfo], output: TensorInfo) -> str:
    if output.is_index:
        return "writes codes, but its output holds plain integers"
    if any(tensor.is_index for tensor in operands) and step.op != "requantize":
        return "works on codes, but an input holds plain integers"
    if step.op == "integer_softmax" and len(operands) > 1 and operands[1].params != _BIT:
        return "expected a mask of one unsigned bit with scale 1"
    return ""


def _index_problem(step: Step, source: TensorInfo, output: TensorInfo) -> str:
    if not source.is_index:
        return "expected an input of plain integers"
    if step.op == "nonzero":
        return "" if output.params == _BIT else "expected an output of one unsigned bit with scale 1"
    weight = step.weight
    if weight is None or len(weight.shape) != 2 or weight.layout is not WeightLayout.OUT_IN:
        return f"expected a table stored as a matrix {WeightLayout.OUT_IN}"
    if weight.levels is not None:
        return "expected a table of codes, not of indices of levels"
    if weight.scale.shape != (1,) or weight.zero_point.shape != (1,):
        return "expected one scale and one zero point for the whole table"
    params = weight.bits, weight.signed, float(weight.scale[0]), int(weight.zero_point[0])
    return "" if params == output.params else "copies rows unchanged, but its output has other parameters"
