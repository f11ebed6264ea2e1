"""`Plan`: a program made ready for inputs of certain shapes: memory laid out, every call prepared."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from passes.errors import ArtifactError
from qtool.runtime.native_engine.layout import is_view, storages
from qtool.runtime.native_engine.memory import lay_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passes.artifact import TensorInfo
    from qtool.runtime.native_engine.prepared import Call, Shape
    from qtool.runtime.native_engine.program import BoundStep
    from qtool.runtime.native_engine.stored import Stored

RAW = frozenset(
    {"identity", "reshape", "flatten", "transpose", "squeeze", "unsqueeze", "slice", "gather", "resize",
     "depth_to_space", "expand"}
)  # fmt: skip
"""Movers whose reference kernels do not care how codes are stored."""


class Plan:
    """Calls in the order of execution, on tensors in one arena."""

    def __init__(
        self,
        steps: Sequence[BoundStep],
        infos: Mapping[str, TensorInfo],
        inputs: Mapping[str, Shape],
        outputs: Sequence[str],
        *,
        keep: bool = False,
    ) -> None:
        """Infer all shapes, lay out the memory and prepare the calls.

        Args:
            steps: in the order of execution.
            infos: every tensor.
            inputs: shapes of the tensors that no step writes.
            outputs: tensors that are read after a run.
            keep: all tensors may be read after a run.

        Raises:
            ArtifactError: a step meets shapes that do not fit together.
        """
        shapes = dict(inputs)
        for bound in steps:
            shapes[bound.step.output] = bound.shape([shapes[name] for name in bound.step.inputs])
        forms = storages(steps, shapes, infos)
        self.tensors, self.peak_bytes = lay_out(steps, forms, outputs, keep=keep)
        self._calls: list[Call] = []
        for bound in steps:
            self._add(bound)

    def run(self) -> None:
        """Compute all tensors from the inputs."""
        for call in self._calls:
            call()

    def _add(self, bound: BoundStep) -> None:
        inputs = [self.tensors[name] for name in bound.step.inputs]
        output = self.tensors[bound.step.output]
        if not inputs:
            output.write(bound.reference())
        elif not (is_view(bound, inputs[0].storage, output.storage) and _shares(inputs[0], output)):
            self._calls.append(_call(bound, inputs, output))


def _shares(source: Stored, output: Stored) -> bool:
    return source.memory.ctypes.data == output.memory.ctypes.data


def _call(bound: BoundStep, inputs: list[Stored], output: Stored) -> Call:
    """Return the native call, or one that hands ONNX-ordered arrays to the reference kernel."""
    try:
        call = None if bound.native is None else bound.native.bind(inputs, output)
    except (ArtifactError, ValueError):
        # What native kernels refuse at these shapes, the reference runs, or refuses with its own reasons.
        call = None
    if call is not None:
        return call
    return partial(_move if bound.step.op in RAW else _compute, bound, inputs, output)


def _move(bound: BoundStep, inputs: list[Stored], output: Stored) -> None:
    output.logical[...] = bound.reference(*(item.logical for item in inputs))


def _compute(bound: BoundStep, inputs: list[Stored], output: Stored) -> None:
    try:
        output.write(bound.reference(*(item.codes() for item in inputs)))
    except (ValueError, IndexError, MemoryError) as error:
        step = bound.step
        raise ArtifactError(f"step {step.name!r} ({step.op}): cannot be run: {error}") from error
