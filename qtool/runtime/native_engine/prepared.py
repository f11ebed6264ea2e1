"""What a native kernel of a step offers to the planner, and the helpers that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from qtool.runtime.native_engine.stored import Stored
    from qtool.runtime.node import Array

Call = Callable[[], object]
"""Does one step; everything that it touches is bound."""
Shape = tuple[int, ...]

MAX_EXTENT = 1 << 20
"""Greatest extent that native kernels take."""


class Prepared(Protocol):
    """The native kernel of one step, with weights and multipliers, for tensors of any shape."""

    @property
    def channels_last(self) -> bool:
        """Whether it works on images whose channels come last."""

    @property
    def in_place(self) -> bool:
        """Whether the output may take the memory of an input of the same size."""

    def shape(self, *inputs: Shape) -> Shape:
        """Shape of the output, all in ONNX order; raises `ArtifactError` when the inputs do not fit."""

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Return the call for tensors in memory, or ``None`` where the kernel cannot take them."""


def fits(*stored: Stored) -> bool:
    """Whether no axis is empty or too long for native kernels."""
    return all(0 < extent <= MAX_EXTENT for item in stored for extent in item.memory.shape)


def in_rows(memory: Array, axis: int) -> Array:
    """Fold the axes before `axis` into rows and the others into columns."""
    rows = 1
    for extent in memory.shape[:axis]:
        rows *= extent
    return memory.reshape(rows, -1)


def run_all(calls: Sequence[Call]) -> None:
    """Do several calls as one."""
    for call in calls:
        call()
