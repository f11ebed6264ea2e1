"""`Engine`: runs an artifact on float arrays, a step at a time, in integers throughout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import ArtifactError, DataError, unknown_name
from passes.numerics import RequantRule, Rounding
from qtool.runtime import (
    conv,
    conv_transpose,
    elementwise,
    float_tail,
    indices,
    lut,
    matmul,
    movement,
    normalization,
    pooling,
    recurrent,
)
from qtool.runtime.batching import run_in_slices, samples_per_slice
from qtool.runtime.boundary import check_inputs, to_codes, to_floats
from qtool.runtime.node import Array, Kernel, Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from passes.artifact import Artifact, Step

_FAMILIES = (
    conv, conv_transpose, matmul, recurrent, lut, elementwise, pooling, normalization, movement, indices,
    float_tail,
)  # fmt: skip
BUILDERS: dict[str, Callable[[Node], Kernel]] = {
    op: builder for family in _FAMILIES for op, builder in family.KERNELS.items()
}


class Engine:
    """Executes one artifact; all weights are unpacked and all multipliers computed on construction."""

    kind = "reference"
    peak_bytes = None

    def __init__(self, artifact: Artifact) -> None:
        """Build the kernel of every step.

        Raises:
            ArtifactError: when a step cannot be executed exactly.
            InputError: when scales do not belong together.
        """
        self.artifact = artifact
        self._kernels = {step.name: self._build(step) for step in artifact.steps}
        self._last_use = {name: step.name for step in artifact.steps for name in (*step.inputs, step.output)}
        self._slice = samples_per_slice(artifact)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        """Run the network on a batch; big batches are run in slices when samples do not depend on each other.

        Args:
            inputs: an array of real numbers for every graph input, of the shape that the artifact names.

        Returns:
            float32 values of every graph output.

        Raises:
            DataError: an input is missing, has another shape, or holds NaN.
            ArtifactError: a step meets shapes that do not fit together.
        """
        check_inputs(self.artifact, inputs)
        return run_in_slices(self._run_slice, inputs, self._slice)

    def trace(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run as `run` does, in one piece, and return every tensor: codes, or float32 values in the tail."""
        check_inputs(self.artifact, inputs)
        values = self._quantized(inputs)
        for step in self.artifact.steps:
            values[step.output] = self.run_step(step.name, values)
        return values

    def run_step(self, name: str, tensors: Mapping[str, Array]) -> Array:
        """Run one step alone.

        Args:
            name: of the step.
            tensors: codes of its inputs, by tensor name; others are ignored.

        Returns:
            codes of its output, or float32 values when that tensor is float32.

        Raises:
            UsageError: there is no such step.
            DataError: an input is missing.
            ArtifactError: the inputs have shapes that do not fit together.
        """
        if name not in self._kernels:
            raise unknown_name("step", name, self._kernels)
        step, kernel = self._kernels[name]
        missing = [tensor for tensor in step.inputs if tensor not in tensors]
        if missing:
            raise DataError(f"step {name!r}: lacks its input {missing[0]!r}")
        try:
            return kernel(*(tensors[tensor] for tensor in step.inputs))
        except (ValueError, IndexError, MemoryError) as error:
            shapes = [tensors[tensor].shape for tensor in step.inputs]
            raise ArtifactError(
                f"step {name!r} ({step.op}): cannot work on shapes {shapes}: {error}"
            ) from error

    def _build(self, step: Step) -> tuple[Step, Kernel]:
        tensors = self.artifact.tensors
        operands = tuple(tensors[name] for name in step.inputs)
        rounding, rule = Rounding(self.artifact.rounding), RequantRule(self.artifact.requantization)
        node = Node(step, operands, tensors[step.output], rounding, rule)
        return step, BUILDERS[step.op](node)

    def _run_slice(self, inputs: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        values = self._quantized(inputs)
        for step in self.artifact.steps:
            values[step.output] = self.run_step(step.name, values)
            # A tensor is let go after its last reader, so that memory holds the live ones only.
            for name in {*step.inputs, step.output}:
                if self._last_use[name] == step.name and name not in self.artifact.outputs:
                    del values[name]
        return {name: to_floats(values[name], self.artifact.tensors[name]) for name in self.artifact.outputs}

    def _quantized(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {name: to_codes(array, self.artifact.tensors[name]) for name, array in inputs.items()}
