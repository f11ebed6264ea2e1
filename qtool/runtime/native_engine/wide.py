"""`WideProduct`: a product whose operands have 16 bits, as several products of bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, run_all
from qtool.runtime.native_engine.stored import Stored

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Combination, Executor
    from qtool.runtime.native.wide import Plane
    from qtool.runtime.node import Array


class Viewed(Prepared, Protocol):
    """A prepared product of bytes, which knows what its kernel takes."""

    def views(self, x: Stored, output: Stored) -> tuple[Array, Array] | None:
        """Return input and output as the kernel takes them, or ``None`` where it cannot."""


@dataclass(frozen=True, slots=True, eq=False)
class WideProduct:
    """Sums of bytes, part by part, and then their combination.

    Attributes:
        executor: what runs it.
        narrow: the same step on bytes, for shapes and views.
        parts: each with the plane that it takes, and a call that takes the plane and the sums.
        combination: of the parts.
    """

    executor: Executor
    narrow: Viewed
    parts: tuple[tuple[Plane, Callable[[Array, Array], None]], ...]
    combination: Combination
    in_place: bool = False

    @property
    def channels_last(self) -> bool:
        """Whether it works on images whose channels come last."""
        return self.narrow.channels_last

    def shape(self, *inputs: Shape) -> Shape:
        """Shape of the output."""
        return self.narrow.shape(*inputs)

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Make room for the planes of the input and for the sums of every part."""
        views = self.narrow.views(inputs[0], output)
        if views is None:
            return None
        x, out = views
        planes = {plane: plane_of(x, plane) for plane, _ in self.parts}
        sums = [np.empty(out.shape, np.int32) for _ in self.parts]
        calls = [
            partial(call, planes[plane][0], part)
            for (plane, call), part in zip(self.parts, sums, strict=True)
        ]
        rows = [part.reshape(-1, out.shape[-1]) for part in sums]
        combine = partial(self.executor.combine, self.combination, rows, out.reshape(-1, out.shape[-1]))
        splits = [split for _, split in planes.values() if split is not None]
        return partial(run_all, [*splits, *calls, combine])


def plane_of(x: Array, plane: Plane) -> tuple[Array, Call | None]:
    """Return memory for one byte of every code, and the call that fills it; bytes are their own plane."""
    if x.itemsize == 1:
        return x, None
    out = np.empty(x.shape, np.uint8)
    return out, partial(np.right_shift, x, plane.shift, out=out, casting="unsafe")
