"""`BoundStep`: a step with its native kernel, or with its reference kernel where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import ArtifactError
from passes.numerics import RequantRule, Rounding
from qtool.runtime.engine import BUILDERS
from qtool.runtime.levels import decoded
from qtool.runtime.native_engine import (
    conv_transpose,
    elementwise,
    gathers,
    lookups,
    matmul,
    moves,
    normalization,
    pools,
    products,
    recurrent,
    reduce,
    tables,
)
from qtool.runtime.node import Array, Kernel, Node
from qtool.runtime.points import combined
from qtool.runtime.recurrent import states_shape

if TYPE_CHECKING:
    from passes.artifact import Artifact, Step
    from qtool.runtime.native._kernels import Executor
    from qtool.runtime.native_engine.prepared import Prepared, Shape

_PREPARE: dict[str, Callable[[Node, Executor], Prepared | None]] = {
    op: prepare
    for family in (
        products,
        conv_transpose,
        matmul,
        elementwise,
        normalization,
        moves,
        gathers,
        lookups,
        pools,
        reduce,
        recurrent,
        tables,
    )
    for op, prepare in family.KERNELS.items()
}


@dataclass(frozen=True, eq=False)
class BoundStep:
    """One step of a program.

    Attributes:
        node: the step with its tensors.
        native: its kernel in C++; ``None`` where the reference kernel works instead.
    """

    node: Node
    native: Prepared | None

    @property
    def step(self) -> Step:
        """The step."""
        return self.node.step

    @cached_property
    def reference(self) -> Kernel:
        """The reference kernel, built when it is first asked for."""
        return BUILDERS[self.step.op](self.node)

    def shape(self, inputs: list[Shape]) -> Shape:
        """Shape of the output; a reference kernel is asked by running it on zeros.

        Raises:
            ArtifactError: the inputs do not fit together, or the output would be absurdly large.
        """
        try:
            if self.native is not None:
                shape = self.native.shape(*inputs)
            elif self.step.hidden_weight is not None:
                # Running a whole sequence for its shape would double the time of the first run.
                shape = states_shape(self.node, inputs[0])
            else:
                shape = self.run_reference(*self._zeros(inputs)).shape
        except (ValueError, IndexError, MemoryError) as error:
            raise ArtifactError(
                f"step {self.step.name!r} ({self.step.op}): cannot work on shapes {inputs}: {error}"
            ) from error
        self.node.check_size(shape)
        return tuple(int(extent) for extent in shape)

    def run_reference(self, *inputs: Array) -> Array:
        """Run the reference kernel."""
        return self.reference(*inputs)

    def _zeros(self, shapes: list[Shape]) -> list[Array]:
        return [np.zeros(shape, info.dtype) for shape, info in zip(shapes, self.node.inputs, strict=True)]


def bind_steps(artifact: Artifact, executor: Executor) -> list[BoundStep]:
    """Prepare every step of an artifact.

    Raises:
        ArtifactError: when a step cannot be executed exactly.
        InputError: when scales do not belong together.
    """
    return [_bind(artifact, step, executor) for step in artifact.steps]


def _bind(artifact: Artifact, step: Step, executor: Executor) -> BoundStep:
    tensors = artifact.tensors
    operands = tuple(tensors[name] for name in step.inputs)
    rounding, rule = Rounding(artifact.rounding), RequantRule(artifact.requantization)
    node = Node(decoded(combined(step)), operands, tensors[step.output], rounding, rule)
    bound = BoundStep(node, _prepare(node, executor))
    if bound.native is None:
        # What is wrong with the step comes out now and not on the first run.
        _ = bound.reference
    return bound


def _prepare(node: Node, executor: Executor) -> Prepared | None:
    prepare = _PREPARE.get(node.step.op)
    if prepare is None:
        return None
    try:
        return prepare(node, executor)
    except (ArtifactError, ValueError):
        # What native kernels refuse, the reference runs, or refuses with its own reasons.
        return None
