"""Which tensors are alive while a network runs, and the most memory they take at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from hwmodels.errors import HardwareError
from hwmodels.types import MAX_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class LiveTensor:
    """An activation tensor: its name, its elements over the whole batch and the bits of each.

    Raises:
        HardwareError: ``elements`` is not a positive integer, or ``bits`` is not one from 1 to 32.
    """

    name: str
    elements: int
    bits: int

    def __post_init__(self) -> None:
        """Check both numbers."""
        if type(self.elements) is not int or self.elements < 1:
            raise HardwareError(f"tensor {self.name!r}: elements must be at least 1, found {self.elements!r}")
        if type(self.bits) is not int or not 1 <= self.bits <= MAX_BITS:
            raise HardwareError(
                f"tensor {self.name!r}: bits must be from 1 to {MAX_BITS}, found {self.bits!r}"
            )

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor, packed and padded to a whole byte."""
        return -(-self.elements * self.bits // 8)


@dataclass(frozen=True, slots=True)
class Step:
    """One operator: the tensors it reads and those it writes, by name."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of a network in the order in which they run.

    A tensor that no step writes is an input, alive from the first step; ``outputs`` stay alive to the end.
    An operator never overwrites what it reads: what a step reads and what it writes are alive together.

    Raises:
        HardwareError: a name is given twice or is unknown, or a tensor is read before it is written.
    """

    tensors: tuple[LiveTensor, ...]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that every name is known and written before it is read."""
        known = {tensor.name for tensor in self.tensors}
        if len(known) != len(self.tensors):
            raise HardwareError("schedule: two tensors have the same name")
        used = {name for step in self.steps for name in (*step.reads, *step.writes)} | set(self.outputs)
        if unknown := sorted(used - known):
            raise HardwareError(f"schedule: no tensor is called {unknown[0]!r}; describe it in tensors")
        first_write = self._first_writes()
        for index, step in enumerate(self.steps):
            for name in step.reads:
                if first_write.get(name, -1) >= index:
                    raise HardwareError(f"schedule: step {index} reads {name!r} before it is written")

    def with_bits(self, bits: Mapping[str, int]) -> Schedule:
        """Return the same schedule with other widths; tensors that ``bits`` does not name keep theirs.

        Raises:
            HardwareError: a width is out of range.
        """
        changed = (replace(tensor, bits=bits.get(tensor.name, tensor.bits)) for tensor in self.tensors)
        return replace(self, tensors=tuple(changed))

    def peak_bytes(self) -> int:
        """Return the most bytes of tensors alive during one step; 0 without steps."""
        return max(self.loads(), default=0)

    def loads(self) -> list[int]:
        """Return the bytes alive during each step.

        Takes time linear in steps and tensors: every tensor adds its bytes where it is born and takes them
        back after its last use.
        """
        changes = [0] * (len(self.steps) + 1)
        for tensor, born, dies in self._lives():
            changes[born] += tensor.size_bytes
            changes[dies + 1] -= tensor.size_bytes
        return list(accumulate(changes))[:-1]

    def alive(self, steps: Iterable[int]) -> dict[int, list[LiveTensor]]:
        """Return the tensors that are alive during each of some steps, by its index."""
        lives = list(self._lives())
        return {at: [tensor for tensor, born, dies in lives if born <= at <= dies] for at in steps}

    def _first_writes(self) -> dict[str, int]:
        first: dict[str, int] = {}
        for index, step in enumerate(self.steps):
            for name in step.writes:
                first.setdefault(name, index)
        return first

    def _lives(self) -> Iterator[tuple[LiveTensor, int, int]]:
        """Yield every tensor that some step touches, with its first and its last step."""
        first_write = self._first_writes()
        last_use = {
            name: index for index, step in enumerate(self.steps) for name in (*step.reads, *step.writes)
        }
        end = len(self.steps) - 1
        last_use.update(dict.fromkeys(self.outputs, end))
        for tensor in self.tensors:
            if self.steps and tensor.name in last_use:
                yield tensor, first_write.get(tensor.name, 0), last_use[tensor.name]
