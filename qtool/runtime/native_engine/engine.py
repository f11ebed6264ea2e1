"""`NativeEngine`: runs an artifact as `qtool.runtime.Engine` does, bit for bit, on kernels in C++."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import DataError, unknown_name
from qtool.runtime.batching import run_in_slices, samples_per_slice
from qtool.runtime.boundary import check_inputs, to_floats
from qtool.runtime.native import make_executor
from qtool.runtime.native_engine.entry import enter
from qtool.runtime.native_engine.plan import Plan
from qtool.runtime.native_engine.program import BoundStep, bind_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact import Artifact
    from qtool.runtime.node import Array

SLICE_SAMPLES = 8
"""Samples of one slice of a batch: their activations stay in a cache, and share weights once unpacked."""
MAX_PLANS = 4
"""Plans that are kept: the slices of two sizes of batches."""


class NativeEngine:
    """Executes one artifact; weights stay packed, where the artifact has them."""

    kind = "native"

    def __init__(self, artifact: Artifact, threads: int = 1, isa: str = "auto") -> None:
        """Prepare every step.

        Args:
            artifact: the program.
            threads: threads of one kernel, 1..256; results do not depend on it.
            isa: one of `qtool.runtime.native.instruction_sets`, or ``"auto"`` for the best.

        Raises:
            UsageError: there is no extension module, or no such instruction set.
            ArtifactError: a step cannot be executed exactly.
            InputError: scales do not belong together.
        """
        self.artifact = artifact
        self._executor = make_executor(isa, threads)
        self._steps = bind_steps(artifact, self._executor)
        free = samples_per_slice(artifact)
        self._slice = None if free is None else min(free, SLICE_SAMPLES)
        self._plans: OrderedDict[tuple[object, ...], Plan] = OrderedDict()
        self._lock = Lock()
        self._peak_bytes = 0

    @property
    def isa(self) -> str:
        """Instruction set of the kernels."""
        return self._executor.isa

    @property
    def peak_bytes(self) -> int:
        """Bytes of the largest arena of activations so far."""
        return self._peak_bytes

    @property
    def reference_steps(self) -> tuple[str, ...]:
        """Names of the steps that have no kernel in C++."""
        return tuple(bound.step.name for bound in self._steps if bound.native is None)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        """Run the network on a batch, in slices when samples do not depend on each other.

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
        shapes = {name: array.shape for name, array in inputs.items()}
        plan = Plan(self._steps, self.artifact.tensors, shapes, (), keep=True)
        for name, array in inputs.items():
            enter(array, plan.tensors[name])
        plan.run()
        return {name: stored.codes() for name, stored in plan.tensors.items()}

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
        known = {bound.step.name: bound for bound in self._steps}
        if name not in known:
            raise unknown_name("step", name, known)
        step = known[name].step
        missing = [tensor for tensor in step.inputs if tensor not in tensors]
        if missing:
            raise DataError(f"step {name!r}: lacks its input {missing[0]!r}")
        shapes = {tensor: tensors[tensor].shape for tensor in step.inputs}
        with self._lock:
            plan = self._plan([known[name]], shapes, (step.output,))
            for tensor in shapes:
                plan.tensors[tensor].write(tensors[tensor])
            plan.run()
            return np.array(plan.tensors[step.output].codes())

    def _run_slice(self, inputs: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        shapes = {name: array.shape for name, array in inputs.items()}
        with self._lock:
            plan = self._plan(self._steps, shapes, self.artifact.outputs)
            self._peak_bytes = max(self._peak_bytes, plan.peak_bytes)
            for name, array in inputs.items():
                enter(array, plan.tensors[name])
            plan.run()
            return {name: self._leave(plan, name) for name in self.artifact.outputs}

    def _plan(
        self, steps: list[BoundStep], shapes: dict[str, tuple[int, ...]], outputs: tuple[str, ...]
    ) -> Plan:
        """Return the plan for these shapes, from among the last ones or a new one."""
        key = (len(steps), steps[0].step.name if steps else "", outputs, *shapes.items())
        if key not in self._plans:
            self._plans[key] = Plan(steps, self.artifact.tensors, shapes, outputs)
        self._plans.move_to_end(key)
        while len(self._plans) > MAX_PLANS:
            self._plans.popitem(last=False)
        return self._plans[key]

    def _leave(self, plan: Plan, name: str) -> NDArray[np.float32]:
        return np.array(to_floats(plan.tensors[name].codes(), self.artifact.tensors[name]))
