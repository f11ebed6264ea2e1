"""Layer by layer with equal inputs: does the integer runtime compute what the Q/DQ model computes?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from passes.execution.session import Level, Session
from passes.lowering.made_names import made_name
from qtool.runtime import open_engine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from passes.artifact import Artifact, Step, TensorInfo
    from passes.execution.dataset import Dataset

DEQUANTIZERS = ("DequantizeLinear", "Quant")
FLOAT_TOLERANCE = 1e-5
"""Difference of a floating-point result, relative to its largest magnitude, that counts as equal."""


@dataclass(frozen=True, slots=True)
class LayerAgreement:
    """One step of the artifact against the same operator of the Q/DQ model.

    Attributes:
        name: of the step.
        op: its operation.
        max_lsb: largest difference in steps of the output; of a float result, in units of `FLOAT_TOLERANCE`.
        differing: share of the elements that differ.
        histogram: number of elements by difference in steps, zero excluded.
        elements: number of elements compared.
    """

    name: str
    op: str
    max_lsb: float
    differing: float
    histogram: Mapping[int, int]
    elements: int

    def shares(self) -> tuple[float, float, float, float]:
        """Return the shares of elements that are 0, 1, 2, and 3 or more steps apart; their sum is 1."""
        one, two = (self.histogram.get(steps, 0) / max(self.elements, 1) for steps in (1, 2))
        return 1 - self.differing, one, two, max(0.0, self.differing - one - two)


def layer_agreement(
    qdq: onnx.ModelProto,
    artifact: Artifact,
    data: Dataset,
    samples: int,
    threads: int = 0,
    level: Level = Level.BASIC,
) -> list[LayerAgreement]:
    """Compare every step on the activations that the Q/DQ model has at that place.

    Args:
        qdq: as lowered beside the artifact, so that tensors have the same names.
        artifact: the packed form.
        data: samples.
        samples: how many of them.
        threads: for ONNX Runtime.
        level: at which ONNX Runtime runs; at DEFAULT its integer kernels are compared.
    """
    probed, outputs = expose(qdq, list(artifact.tensors))
    session, engine = Session(probed, level, threads), open_engine(artifact)[0]
    totals: dict[str, list[NDArray[np.int64]]] = {}
    constants = {
        step.output: engine.run_step(step.name, {}) for step in artifact.steps if step.op == "constant"
    }
    for feeds in data.batches(min(samples, 8), samples):
        values = dict(zip(outputs, session.run(feeds, list(outputs.values())), strict=True))
        # What a Cast at the end made of a result was compared in front of it.
        single = [name for name in outputs if values[name].dtype not in (np.float16, np.float64)]
        codes = constants | {name: _codes(values[name], artifact.tensors[name]) for name in single}
        for step in artifact.steps:
            if step.output in codes and all(name in codes for name in step.inputs):
                found = engine.run_step(step.name, {name: codes[name] for name in step.inputs})
                difference = _difference(found, codes[step.output], artifact.tensors[step.output])
                totals.setdefault(step.name, []).append(difference.reshape(-1))
    return [_summary(step, totals[step.name]) for step in artifact.steps if step.name in totals]


def worst(layers: Sequence[LayerAgreement]) -> float:
    """Return the largest difference of any layer, in steps."""
    return max((layer.max_lsb for layer in layers), default=0.0)


def expose(proto: onnx.ModelProto, tensors: Sequence[str]) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Make the dequantized value of each tensor an output; return the model and the output by tensor."""
    probed = onnx.ModelProto()
    probed.CopyFrom(proto)
    known = {output.name for output in probed.graph.output}
    computed = {name for node in probed.graph.node for name in node.output} | known
    dequantized = {node.output[0] for node in probed.graph.node if node.op_type in DEQUANTIZERS}
    outputs = {}
    for name in tensors:
        source = made_name(name, "dq", dequantized) or name
        if source in computed:
            outputs[name] = source
            if source not in known:
                # Without a type, which ONNX Runtime infers: some tensors are indices or codes.
                probed.graph.output.append(onnx.ValueInfoProto(name=source))
    return probed, outputs


def _codes(values: NDArray[np.float32], info: TensorInfo) -> NDArray[Any]:
    """Return the codes behind dequantized values; float tensors stay as they are."""
    if info.is_float:
        return values
    steps = np.rint(values.astype(np.float64) / info.scale) + info.zero_point
    return steps.astype(info.dtype)


def _difference(found: NDArray[Any], expected: NDArray[Any], info: TensorInfo) -> NDArray[np.int64]:
    if info.is_float:
        unit = max(float(np.abs(expected).max(initial=0.0)) * FLOAT_TOLERANCE, 1e-30)
        return np.asarray(np.floor(np.abs(found.astype(np.float64) - expected) / unit), dtype=np.int64)
    return np.asarray(np.abs(found.astype(np.int64) - expected.astype(np.int64)))


def _summary(step: Step, parts: list[NDArray[np.int64]]) -> LayerAgreement:
    difference = np.concatenate(parts)
    sizes, counts = np.unique(difference[difference > 0], return_counts=True)
    histogram = {int(size): int(count) for size, count in zip(sizes, counts, strict=True)}
    largest, differing = float(difference.max(initial=0)), float((difference > 0).mean())
    return LayerAgreement(step.name, step.op, largest, differing, histogram, difference.size)
