"""Native ConvTranspose (ONNX, opset 11): a convolution for each phase of the output, interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.conv_transpose import crop, full_extents
from qtool.runtime.native.codes import MAX_WIDE_BITS, check_storable
from qtool.runtime.native.phases import Phase, axis_phases
from qtool.runtime.native.wide import Part, check_parts, combination, parts_of, planes_of, weight_factors
from qtool.runtime.native.windows import as_images, triple, window_shape
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits, run_all
from qtool.runtime.native_engine.stored import Stored
from qtool.runtime.native_engine.wide import plane_of
from qtool.runtime.node import Array, Node
from qtool.runtime.weights import Weights
from qtool.runtime.window import Window

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Combination, Executor, Gemm, WindowShape
    from qtool.runtime.native.wide import Plane

Phases = tuple[Phase, ...]
"""A phase along each of three axes."""


@dataclass(frozen=True, slots=True, eq=False)
class ConvTranspose:
    """Convolutions of stride 1 whose outputs are interleaved.

    Attributes:
        node: the step.
        executor: what runs it.
        window: of the step.
        phases: phase along each axis, and the parts of its weights.
        combination: of the parts of any phase.
    """

    node: Node
    executor: Executor
    window: Window
    phases: tuple[tuple[Phases, tuple[Part[Gemm], ...]], ...]
    combination: Combination
    channels_last: bool = True
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Spread the input by the strides and crop the pads."""
        (shape,) = inputs
        node, window = self.node, self.window
        if len(shape) != len(window.kernel) + 2 or shape[1] != node.weight.shape[0]:
            node.fail(f"expected {node.weight.shape[0]} input channels, found an input of shape {shape}")
        full = full_extents(window, shape[2:], node.step.integers("output_padding"))
        channels = node.weight.shape[1] * node.step.integer("group")
        node.check_size([shape[0], channels, *full])
        spatial = crop(node, window, full)[2:]
        return (shape[0], channels, *(part.stop - part.start for part in spatial))

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Bind a convolution and a strided copy for each phase that has outputs."""
        (x,) = inputs
        if not fits(x, output):
            return None
        images, out = as_images(x.memory), as_images(output.memory)
        planes = {plane: plane_of(images, plane) for plane in planes_of(self.node.inputs[0])}
        calls = [split for _, split in planes.values() if split is not None]
        memory = {plane: taken for plane, (taken, _) in planes.items()}
        for phases, parts in self.phases:
            calls += self._bind_phase(phases, parts, memory, out)
        return partial(run_all, calls)

    def _bind_phase(
        self, phases: Phases, parts: Sequence[Part[Gemm]], planes: dict[Plane, Array], out: Array
    ) -> list[Call]:
        """Convolve, combine and copy to every stride-th output."""
        strides = triple(self.window.strides, 1)
        places = tuple(slice(phase.first, None, step) for phase, step in zip(phases, strides, strict=True))
        target = out[:, *places]
        if not target.size:
            return []
        counts = zip(target.shape[1:-1], phases, strict=True)
        extents = [count + phase.skipped for count, phase in counts]
        made = np.empty((len(out), *extents, out.shape[-1]), out.dtype)
        sums = [np.empty(made.shape, np.int32) for _ in parts]
        shape = _window_of(phases)
        calls: list[Call] = [
            partial(self.executor.conv, part.layer, shape, part.plane.zero, planes[part.plane], total)
            for part, total in zip(parts, sums, strict=True)
        ]
        rows = [total.reshape(-1, out.shape[-1]) for total in sums]
        wanted = made[:, *(slice(phase.skipped, None) for phase in phases)]
        combine = partial(self.executor.combine, self.combination, rows, made.reshape(-1, out.shape[-1]))
        return [*calls, combine, partial(np.copyto, target, wanted)]


def conv_transpose(node: Node, executor: Executor) -> Prepared:
    """Prepare a ConvTranspose of one to three spatial axes."""
    check_storable(node, MAX_WIDE_BITS, MAX_WIDE_BITS)
    window = Window.of(node, node.weight.shape[2:])
    window_shape(node, window)
    if len(node.step.integers("output_padding")) != len(window.kernel):
        node.fail(f"expected {len(window.kernel)} entries in output_padding")
    weights = Weights.of(node)
    check_parts(node, weights.codes.size // weights.channels)
    kernel = triple(window.kernel, 1)
    rest = triple(window.strides, 1), triple(window.dilations, 1), triple(window.begin, 0)
    axes = [axis_phases(*parameters) for parameters in zip(kernel, *rest, strict=True)]
    codes = weights.codes.reshape(weights.channels, *kernel, -1)
    phases = tuple((found, tuple(parts_of(node, _met_by(found, codes)))) for found in product(*axes))
    made = combination(node, weights.scale, weights.bias, weights.largest, weight_factors(node))
    return ConvTranspose(node, executor, window, phases, made)


def _met_by(phases: Phases, codes: Array) -> Array:
    """Return the weights of a phase, (channels, taps x in); a phase without taps has one, of zeros."""
    taps = np.ix_(range(len(codes)), *(phase.taps or (0,) for phase in phases))
    met = codes[taps].reshape(len(codes), -1)
    return met if all(phase.taps for phase in phases) else np.zeros_like(met)


def _window_of(phases: Phases) -> WindowShape:
    from qtool.runtime.native._kernels import WindowShape

    def along(values: list[int]) -> tuple[int, int, int]:
        return triple(tuple(values), 1)

    return WindowShape(
        along([len(phase.taps) or 1 for phase in phases]),
        (1, 1, 1),
        along([phase.dilation for phase in phases]),
        along([phase.pad for phase in phases]),
    )


KERNELS = {"conv_transpose": conv_transpose}
