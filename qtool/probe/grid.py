"""Which shapes are measured: a space-filling sample of the sizes that networks use, the same in every run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from scipy.stats import qmc

from hwmodels import Precision, Workload
from hwmodels.machines.measured_operators import OPERATORS
from qtool.probe.shapes import ConvShape, GemmShape, OperatorShape, Point, ProductShape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtool.probe.shapes import Shape

FLOAT, INTEGER = Precision(32, 32), Precision(8, 8)
WEIGHT_ONLY = tuple(Precision(bits, 32) for bits in (2, 4, 8))
"""Pairs of ONNX Runtime's MatMulNBits, which exists for stored weights of matrix products alone."""

MAX_MACS = 150_000_000
MAX_ELEMENTS = 1_600_000
"""Larger layers say nothing new about the machine, and take long."""

CHANNELS = (8, 16, 24, 32, 48, 64, 96, 128, 144, 192, 256, 320, 384, 512, 768, 1024, 1280)
SIZES = (1, 2, 4, 7, 8, 10, 14, 16, 20, 28, 32, 40, 56, 64, 80, 112)
KERNELS = (3, 3, 5)
STRIDES = (1, 1, 2)
ROWS = (1, 1, 2, 4, 8, 16, 32, 64, 128, 196, 256)
HEADS = (1, 2, 4, 8, 12)
CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")
TRIES = 40
"""Places of the sequence looked at per shape wanted: most are too large."""


def grid(count: int) -> tuple[Point, ...]:
    """Return every point of a probe, each once.

    Args:
        count: shapes per kind of layer; a smaller grid is part of every larger one.
    """
    points = [Point(shape, pair) for shape in _layers(count) for pair in (FLOAT, INTEGER)]
    gemms = _sample(count, GemmShape, (ROWS, CHANNELS[3:], CHANNELS[3:]))
    points += [Point(shape, pair) for shape in gemms for pair in (FLOAT, INTEGER, *WEIGHT_ONLY)]
    points += [Point(shape, pair) for shape in _operators(count, OPERATORS) for pair in (FLOAT, INTEGER)]
    points += [Point(shape, INTEGER) for shape in _operators(count, CONVERSIONS)]
    return tuple(dict.fromkeys(points))


def _layers(count: int) -> Iterator[Shape]:
    half = (count + 1) // 2
    yield from _sample(count, _dense, (CHANNELS, CHANNELS, SIZES, KERNELS, STRIDES))
    yield from _sample(count, _pointwise, (CHANNELS, CHANNELS, SIZES))
    yield from _sample(half, ConvShape, ((1, 3, 3), CHANNELS[1:6], (3, 3, 5, 7), (1, 2, 2), SIZES[6:]))
    yield from _sample(count, _depthwise, (CHANNELS, KERNELS, STRIDES, SIZES[2:]))
    yield from _sample(half, _grouped, (CHANNELS[2:], STRIDES, SIZES, (2, 4, 8)))
    yield from _sample(half, ProductShape, (HEADS, ROWS[3:], (16, 32, 64, 128), ROWS[3:]))


def _operators(count: int, names: tuple[str, ...]) -> Iterator[Shape]:
    for name in names:
        yield from _sample(count // 4 + 1, partial(OperatorShape, name), (CHANNELS, SIZES[3:]))


def _dense(inputs: int, outputs: int, size: int, kernel: int, stride: int) -> ConvShape:
    return ConvShape(inputs, outputs, kernel, stride, size)


def _pointwise(inputs: int, outputs: int, size: int) -> ConvShape:
    return ConvShape(inputs, outputs, 1, 1, size)


def _depthwise(channels: int, kernel: int, stride: int, size: int) -> ConvShape:
    return ConvShape(channels, channels, kernel, stride, size, channels)


def _grouped(channels: int, stride: int, size: int, groups: int) -> ConvShape:
    return ConvShape(channels, channels, 3, stride, size, groups)


def _sample(count: int, build: Callable[..., Shape], axes: tuple[tuple[int, ...], ...]) -> list[Shape]:
    """Return the first shapes along a Halton sequence over the axes that are not too large."""
    found: dict[Shape, None] = {}
    for place in qmc.Halton(len(axes), scramble=False).random(TRIES * (count + 1))[1:]:
        shape = build(*(axis[int(at * len(axis))] for axis, at in zip(axes, place, strict=True)))
        if len(found) < count and _fits(shape):
            found[shape] = None
    return list(found)


def _fits(shape: Shape) -> bool:
    work = shape.work
    weights, macs = (work.weight_count, work.macs) if isinstance(work, Workload) else (0, 0)
    return max(work.in_elements, work.out_elements, weights) <= MAX_ELEMENTS and macs <= MAX_MACS
