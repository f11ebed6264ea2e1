"""`Window`: the sliding window of a convolution or pool over any number of axes (ONNX Conv, MaxPool)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.runtime.node import Array, Node


@dataclass(frozen=True, slots=True)
class Window:
    """Extents of a window, one entry per spatial axis.

    Attributes:
        kernel: taps.
        strides: input elements between two windows.
        dilations: input elements between two taps.
        begin: padding in front.
        end: padding behind.
        ceil: whether a last window may reach beyond the padding, as long as it starts inside.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    ceil: bool = False

    @classmethod
    def of(cls, node: Node, kernel: tuple[int, ...]) -> Window:
        """Read the window of a step; raises `ArtifactError` when attributes differ in length."""
        step, rank = node.step, len(kernel)
        strides, dilations, pads = (step.integers(name) for name in ("strides", "dilations", "pads"))
        if (len(strides), len(dilations), len(pads)) != (rank, rank, 2 * rank):
            node.fail(f"expected {rank} strides and dilations and {2 * rank} pads for a kernel of {kernel}")
        ceil = bool(step.attrs.get("ceil_mode", 0))
        return cls(kernel, strides, dilations, pads[:rank], pads[rank:], ceil)

    @property
    def spans(self) -> tuple[int, ...]:
        """Input elements from the first to the last tap, both included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def is_point(self) -> bool:
        """Whether every window is the input element at its place."""
        return {*self.kernel, *self.strides} == {1} and not any(self.begin + self.end)

    def output(self, node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Number of windows along each spatial axis of an input of this shape.

        Raises:
            ArtifactError: the rank is wrong, no window fits, or the padded input would be absurdly large.
        """
        extents = shape[2:]
        if len(extents) != len(self.kernel):
            node.fail(f"expected {len(self.kernel)} spatial axes, found {len(extents)}")
        counts = tuple(self._count(axis, extent) for axis, extent in enumerate(extents))
        if min(counts) < 1:
            node.fail(f"a window of {self.spans} does not fit into an input of {extents}")
        padded = [sum(parts) for parts in zip(extents, self.begin, self.end, strict=True)]
        node.check_size([*shape[:2], *padded])
        return counts

    def _count(self, axis: int, extent: int) -> int:
        stride, begin = self.strides[axis], self.begin[axis]
        room = extent + begin + self.end[axis] - self.spans[axis]
        if not self.ceil:
            return room // stride + 1
        count = -(-room // stride) + 1
        return count - ((count - 1) * stride >= extent + begin)

    def pad(self, x: Array, out: tuple[int, ...], value: float) -> Array:
        """Pad the spatial axes of `x`, (batch, channel, spatial ...), so that every window lies inside."""
        widths = [(0, 0), (0, 0)]
        for axis, extent in enumerate(x.shape[2:]):
            needed = (out[axis] - 1) * self.strides[axis] + self.spans[axis]
            widths.append((self.begin[axis], max(0, needed - extent - self.begin[axis])))
        return np.pad(x, widths, constant_values=value) if any(map(any, widths)) else x

    def taps(self, padded: Array, out: tuple[int, ...], rows: slice | None = None) -> Iterator[Array]:
        """Yield, tap by tap, the view of the input elements under that tap: (batch, channel, windows ...).

        Args:
            padded: from `pad`.
            out: number of windows.
            rows: windows along the first spatial axis; all of them by default.
        """
        first = range(out[0])[rows or slice(None)]
        starts, counts = (first.start, *[0] * (len(out) - 1)), (len(first), *out[1:])
        for tap in np.ndindex(self.kernel):
            cut = [slice(None), slice(None)]
            for axis, index in enumerate(tap):
                stride = self.strides[axis]
                start = index * self.dilations[axis] + starts[axis] * stride
                cut.append(slice(start, start + (counts[axis] - 1) * stride + 1, stride))
            yield padded[tuple(cut)]
