"""Layers in the terms of the public BitFusion simulator, which knows nothing but square convolutions."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwmodels.arrays import Floats
    from hwmodels.workload import Workload


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Layers as convolutions, every field of shape (layers,) or, once indexed, of the index.

    Attributes:
        images: images, or rows of a matrix product.
        height: output rows; a third axis is folded into it.
        width: output columns.
        kernel_height: kernel rows, folded in the same way.
        kernel_width: kernel columns.
        stride: of both axes.
        inputs: input channels of one group.
        outputs: output channels of all groups.
        groups: groups of channels.
        repeats: how often the whole runs, with nothing kept from one run to the next.
        computed: 1 where the weights are activations themselves, else 0.
    """

    images: Floats
    height: Floats
    width: Floats
    kernel_height: Floats
    kernel_width: Floats
    stride: Floats
    inputs: Floats
    outputs: Floats
    groups: Floats
    repeats: Floats
    computed: Floats

    @classmethod
    def of(cls, works: Sequence[Workload]) -> Shapes:
        """Describe layers: a matrix product is a convolution of 1 x 1 positions with its rows as images."""
        rows = [_convolution(work) if work.op == "Conv" else _product(work) for work in works]
        return cls(*np.array(rows, dtype=np.float64).reshape(len(works), len(fields(cls))).T)

    def at(self, index: object) -> Shapes:
        """Select from every field, as NumPy selects."""
        return Shapes(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def table(self) -> Floats:
        """All fields side by side, of shape (layers, fields)."""
        return np.stack([getattr(self, field.name) for field in fields(self)], axis=1)

    @property
    def taps(self) -> Floats:
        """Positions of the kernel."""
        return self.kernel_height * self.kernel_width


def _convolution(work: Workload) -> tuple[float, ...]:
    """Take the stride from the sizes of input and output, as a layer does not carry it."""
    positions = math.prod(work.out_spatial)
    area = work.in_elements / (work.batch * work.in_channels)
    stride = max(1, round((area / positions) ** (1 / len(work.out_spatial))))
    inputs = work.in_channels // work.groups
    plane = (*_plane(work.out_spatial), *_plane(work.kernel))
    return (work.batch, *plane, stride, inputs, work.out_channels, work.groups, 1, 0)


def _product(work: Workload) -> tuple[float, ...]:
    """Products of two computed matrices, steps of a sequence and groups run one after the other."""
    rounds = work.batch if work.rhs_elements else work.steps
    repeats = rounds * work.groups
    return (work.rows // rounds, 1, 1, 1, 1, 1, work.depth, work.columns, 1, repeats, work.rhs_elements > 0)


def _plane(sizes: tuple[int, ...]) -> tuple[int, int]:
    return math.prod(sizes[:-1]), sizes[-1]
