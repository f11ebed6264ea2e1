"""Whether a program treats every sample on its own, and how many samples to take at a time."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from passes.artifact.ops import OPS, Family

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from passes.artifact import Artifact, Step, TensorInfo
    from qtool.runtime.node import Array

    Outputs = dict[str, NDArray[np.float32]]

SLICE_ELEMENTS = 1 << 24
"""Elements of all tensors of one slice; a code takes one byte, and most wider intermediates are tiled."""


def samples_per_slice(artifact: Artifact) -> int | None:
    """Return how many samples to run at a time, or ``None`` when a batch must not be cut.

    A batch may be cut when the first axis of every tensor is unknown in advance, constants aside, and no step
    works along it. In doubt it is not cut.
    """
    constants = _fixed(artifact)
    computed = {name: tensor for name, tensor in artifact.tensors.items() if name not in constants}
    if not all(tensor.shape and tensor.shape[0] is None for tensor in computed.values()):
        return None
    if not all(_keeps_samples(step, artifact.tensors, constants) for step in artifact.steps):
        return None
    elements = sum(prod(extent or 1 for extent in tensor.shape) for tensor in computed.values())
    return max(1, SLICE_ELEMENTS // max(1, elements))


def _fixed(artifact: Artifact) -> set[str]:
    """Return tensors whose values do not depend on the samples: constants, as a whole or cut to a length."""
    fixed: set[str] = set()
    for step in artifact.steps:
        moves = OPS[step.op].family is Family.MOVER and step.inputs[0] in fixed
        counts_samples = "like_axes" in step.attrs and 0 in step.integers("like_axes")
        if step.op == "constant" or (moves and not counts_samples):
            fixed.add(step.output)
    return fixed


def run_in_slices(
    run: Callable[[Mapping[str, Array]], Outputs], inputs: Mapping[str, Array], samples: int | None
) -> Outputs:
    """Run a batch at most ``samples`` at a time, or in one piece for ``None``; join the outputs, by name."""
    batch = {len(array) for array in inputs.values()} if samples else set()
    if samples is None or len(batch) != 1 or max(batch) <= samples:
        return run(inputs)
    parts = [
        run({name: array[start : start + samples] for name, array in inputs.items()})
        for start in range(0, max(batch), samples)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _keeps_samples(step: Step, tensors: dict[str, TensorInfo], constants: set[str]) -> bool:
    """Whether a step leaves the first axis alone."""
    if step.output in constants or (step.op == "integer_softmax" and len(step.inputs) == 1):
        return True
    match step.op:
        case "transpose" | "reshape" | "reshape_like" | "flatten":
            return _arranges_samples(step)
        case "pad":
            pads = step.integers("pads")
            return not pads[0] and not pads[len(pads) // 2]
        case "add" | "sub" | "mul" | "div" | "matmul" | "expand" | "integer_softmax":
            return _broadcasts_samples(step, tensors, constants)
        case _:
            return _axes_keep_samples(step, tensors)


def _arranges_samples(step: Step) -> bool:
    """Whether a new shape or order of axes starts with the first axis."""
    if step.op == "flatten":
        return step.integer("axis") == 1
    if step.op == "reshape_like" and step.integers("like_axes")[:1] != (-1,):
        return step.integers("like_axes")[:1] == (0,)
    return step.integers("perm" if step.op == "transpose" else "shape")[:1] in {(0,), (-1,)}


def _broadcasts_samples(step: Step, tensors: dict[str, TensorInfo], constants: set[str]) -> bool:
    """Whether operands line up at the first axis: computed ones have all axes, constants only later ones."""
    rank = len(tensors[step.output].shape)
    if step.op in {"matmul", "expand"} and rank < 3:
        return False
    for name in step.inputs:
        shape = tensors[name].shape
        if len(shape) != rank and name not in constants:
            return False
        if len(shape) == rank and name in constants and shape[0] != 1:
            return False
    return True


def _axes_keep_samples(step: Step, tensors: dict[str, TensorInfo]) -> bool:
    """Whether the attributes axis and axes avoid the first axis, which for a recurrent step is time."""
    if step.hidden_weight is not None:
        return False
    axes = [*step.integers("axes")] if "axes" in step.attrs else []
    axes += [step.integer("axis")] if "axis" in step.attrs else []
    counted = step.output if step.op == "unsqueeze" else step.inputs[0]
    rank = len(tensors[counted].shape)
    return all(axis % rank != 0 for axis in axes)
