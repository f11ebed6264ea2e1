"""Checks a whole program before any of it runs; every refusal is an `ArtifactError` that names the step."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from passes.artifact.check_integers import integer_problem
from passes.artifact.ops import OPS, Family, OpSpec
from passes.artifact.recurrent import TABLE_LENGTH, recurrent_problem
from passes.artifact.weight import WeightLayout
from passes.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact.step import Step
    from passes.artifact.tensor import TensorInfo

MAX_BIAS = 1 << 46
MAX_GAIN = 1 << 22
SOFTMAX_ONE = 1 << 24
"""What the table of a softmax holds for the greatest of its inputs."""
_WITH_PARTS = ("gemm", "conv")
_CODES_ONLY = frozenset({"lut", "constant", "integer_softmax"})


def check_program(
    inputs: tuple[str, ...], outputs: tuple[str, ...], tensors: dict[str, TensorInfo], steps: tuple[Step, ...]
) -> None:
    """Check that steps run in the order given and fit the tensors that they read and write.

    Args:
        inputs: names of the graph's inputs.
        outputs: names of the graph's outputs.
        tensors: every tensor by name.
        steps: in the order of execution.

    Raises:
        ArtifactError: at the first thing that is wrong.
    """
    for name in (*inputs, *outputs):
        if name not in tensors:
            raise ArtifactError(f"graph input or output {name!r} is not among the tensors")
    written = set(inputs)
    names: set[str] = set()
    for step in steps:
        _check_wiring(step, tensors, written, names)
        _check_step(step, tensors)
        written.add(step.output)
        names.add(step.name)
    missing = sorted(set(outputs) - written)
    if missing:
        raise ArtifactError(f"no step writes the graph output {missing[0]!r}")


def _fail(step: Step, problem: str) -> NoReturn:
    raise ArtifactError(f"step {step.name!r} ({step.op}): {problem}")


def _check_wiring(step: Step, tensors: dict[str, TensorInfo], written: set[str], names: set[str]) -> None:
    if step.name in names:
        _fail(step, "another step has the same name")
    for name in step.inputs:
        if name not in written:
            _fail(step, f"reads {name!r} before any step has written it")
    if step.output not in tensors:
        _fail(step, f"writes {step.output!r}, which is not among the tensors")
    if step.output in written:
        _fail(step, f"writes {step.output!r} a second time")


def _check_step(step: Step, tensors: dict[str, TensorInfo]) -> None:
    spec = OPS.get(step.op)
    if spec is None:
        _fail(step, f"unknown operation; this version knows {', '.join(sorted(OPS))}")
    _check_signature(step, spec)
    operands = [tensors[name] for name in step.inputs]
    output = tensors[step.output]
    _check_numbers(step, spec.family, operands, output)
    problem = integer_problem(step, operands, output)
    if problem:
        _fail(step, problem)
    _check_bounds(step, output)
    parts = any(weight.runs is not None or weight.points is not None for weight in step.weights)
    if parts and step.op not in _WITH_PARTS:
        _fail(step, f"only {' and '.join(_WITH_PARTS)} take weights with groups or points")
    if spec.hidden_weight:
        _check_recurrent(step)
        return
    _check_weight(step)
    _check_table(step, operands, output)


def _check_signature(step: Step, spec: OpSpec) -> None:
    least, most = spec.inputs
    if not least <= len(step.inputs) <= most:
        _fail(step, f"expected {least} to {most} inputs, found {len(step.inputs)}")
    if set(step.attrs) != set(spec.attrs):
        _fail(step, f"expected the attributes {sorted(spec.attrs)}, found {sorted(step.attrs)}")
    for name, attr in spec.attrs.items():
        if not attr.admits(step.attrs[name]):
            _fail(step, f"attribute {name} must be {attr}, found {str(step.attrs[name])[:80]}")
    for part, wanted, found in (
        ("weight", spec.weight, step.weight),
        ("weight for a state", spec.hidden_weight, step.hidden_weight),
        ("table", spec.table, step.table),
    ):
        if wanted != (found is not None):
            _fail(step, f"{'lacks its' if wanted else 'has no use for a'} {part}")
    if step.bias is not None and (not spec.weight or step.op == "embedding"):
        _fail(step, "has no use for a bias")


def _check_numbers(step: Step, family: Family, operands: list[TensorInfo], output: TensorInfo) -> None:
    if family is Family.FLOAT and not all(tensor.is_float for tensor in (*operands, output)):
        _fail(step, "works on float32 tensors; put a requantize to float32 before it")
    if family is Family.MOVER and operands[0].params != output.params:
        _fail(step, "moves values unchanged, but its input and output have different parameters")
    if family is Family.ARITHMETIC and any(tensor.is_float for tensor in operands):
        _fail(step, "works on integer codes, but an input is float32")
    if step.op in _CODES_ONLY and output.is_float:
        _fail(step, "writes integer codes, but its output is float32")


def _check_bounds(step: Step, output: TensorInfo) -> None:
    if step.lo is None and step.hi is None:
        return
    if output.is_float or OPS[step.op].family is not Family.ARITHMETIC:
        _fail(step, "lo and hi bound the codes of an arithmetic step with an integer output only")
    low = output.qmin if step.lo is None else step.lo
    high = output.qmax if step.hi is None else step.hi
    if not output.qmin <= low <= high <= output.qmax:
        _fail(step, f"bounds {low}..{high} do not lie in {output.qmin}..{output.qmax}")


def _check_recurrent(step: Step) -> None:
    if step.table is not None and step.table.shape != (TABLE_LENGTH,):
        _fail(step, f"expected a table of {TABLE_LENGTH} entries, found {step.table.shape}")
    problem = recurrent_problem(step)
    if problem:
        _fail(step, problem)


def _check_weight(step: Step) -> None:
    weight = step.weight
    if weight is None or step.op == "embedding":
        return
    channels, layouts = _channels(step)
    if weight.layout not in layouts:
        _fail(step, f"expected a weight stored as {' or '.join(layouts)}, found {weight.layout}")
    if step.op == "gemm" and len(weight.shape) != 2:
        _fail(step, f"expected a matrix, found a weight of shape {weight.shape}")
    for part in (weight.scale, weight.zero_point):
        if part.shape not in {(1,), (channels,)}:
            _fail(step, f"expected 1 or {channels} scales and zero points, found {part.shape}")
    if step.bias is None:
        return
    if step.bias.shape != (channels,):
        _fail(step, f"expected {channels} biases, found {step.bias.shape}")
    if np.any((step.bias > MAX_BIAS) | (step.bias < -MAX_BIAS)):
        _fail(step, f"a bias is larger than {MAX_BIAS}")


def _channels(step: Step) -> tuple[int, tuple[WeightLayout, ...]]:
    """Number of output channels of a weighted step, and the layouts that it can read."""
    if step.weight is None:
        _fail(step, "lacks its weight")
    shape = step.weight.shape
    group = 1 if step.op == "gemm" else step.integer("group")
    first = step.weight.channels(0)
    if first % group:
        _fail(step, f"group {group} does not divide the first axis of a weight of shape {shape}")
    if step.op == "conv":
        dense = (WeightLayout.OUT_IN,) if group == 1 else (WeightLayout.GROUPED,)
        return first, (*dense, WeightLayout.DEPTHWISE) if shape[1] == 1 else dense
    if step.op == "conv_transpose":
        return shape[1] * group, (WeightLayout.IN_OUT,) if group == 1 else (WeightLayout.GROUPED,)
    columns = 0 if step.weight.layout is WeightLayout.OUT_IN else 1
    return step.weight.channels(columns), (WeightLayout.OUT_IN, WeightLayout.IN_OUT)


def _check_table(step: Step, operands: list[TensorInfo], output: TensorInfo) -> None:
    table = step.table
    if table is None:
        return
    expected = _table_length(step, operands)
    cut = step.op == "integer_softmax" and table.ndim == 1 and 0 < table.size <= expected
    if table.shape != (expected,) and not cut:
        _fail(step, f"expected a table of {expected} entries, found {table.shape}")
    _check_method(step, table)
    if step.op not in {"lut", "constant"}:
        return
    if table.size and not output.qmin <= table.min() <= table.max() <= output.qmax:
        _fail(step, f"a table entry lies outside {output.qmin}..{output.qmax}")


def _check_method(step: Step, table: NDArray[np.int64]) -> None:
    """Check what keeps the sums of a softmax or a normalization within 63 bits."""
    if step.op == "integer_softmax":
        if table[0] != SOFTMAX_ONE or np.any(table[1:] > table[:-1]) or table[-1] < 0:
            _fail(step, f"expected a table that falls from {SOFTMAX_ONE} and never below 0")
    elif step.op == "layer_norm":
        gains, shifts = np.split(table, 2)
        for part, values, limit in (("gain", gains, MAX_GAIN), ("shift", shifts, MAX_BIAS)):
            if np.any((values > limit) | (values < -limit)):
                _fail(step, f"a {part} is larger than {limit}")


def _table_length(step: Step, operands: list[TensorInfo]) -> int:
    if step.op in {"lut", "integer_softmax"}:
        return 1 << operands[0].format.bits
    if step.op == "layer_norm":
        return 2 * step.integer("length")
    if step.op == "resize":
        return sum(step.integers("sizes"))
    return prod(step.integers("shape"))
