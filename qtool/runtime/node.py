"""`Node`: a step bound to the tensors that it reads and writes; kernels are built from it once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NoReturn

from numpy.typing import NDArray

from passes.errors import ArtifactError
from passes.numerics import RequantRule

if TYPE_CHECKING:
    from passes.artifact import PackedWeight, Step, TensorInfo
    from passes.numerics import Rounding

MAX_ELEMENTS = 1 << 28
"""Elements of one array at run time; more than that is taken for an attack and not for a network."""

Array = NDArray[Any]
"""Codes in the container of their tensor, or float32 values."""
Kernel = Callable[..., Array]
"""Computes the output of a step from its inputs, in order."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One step with everything that its kernel must know.

    Attributes:
        step: what to compute.
        inputs: of the step, in order.
        output: of the step.
        rounding: of every requantization.
        rule: of every requantization.
    """

    step: Step
    inputs: tuple[TensorInfo, ...]
    output: TensorInfo
    rounding: Rounding
    rule: RequantRule = RequantRule.EXACT

    @property
    def weight(self) -> PackedWeight:
        """The weight of a weighted step; raises `ArtifactError` for another."""
        if self.step.weight is None:
            self.fail("lacks its weight")
        return self.step.weight

    @property
    def lo(self) -> int:
        """Lowest output code."""
        return self.output.qmin if self.step.lo is None else self.step.lo

    @property
    def hi(self) -> int:
        """Highest output code."""
        return self.output.qmax if self.step.hi is None else self.step.hi

    def check_size(self, shape: Sequence[int]) -> None:
        """Raise an `ArtifactError` before an array of an absurd shape is made."""
        if prod(shape) > MAX_ELEMENTS:
            self.fail(f"an array of shape {tuple(shape)} has more than {MAX_ELEMENTS} elements")

    def fail(self, problem: str) -> NoReturn:
        """Raise an `ArtifactError` that names the step."""
        raise ArtifactError(f"step {self.step.name!r} ({self.step.op}): {problem}")


def reach(info: TensorInfo) -> int:
    """Greatest magnitude of ``code - zero_point``."""
    return max(info.qmax - info.zero_point, info.zero_point - info.qmin)
