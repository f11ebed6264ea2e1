"""Windows over images whose channels come last, for the native kernels; missing axes have extent 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Triple, WindowShape
    from qtool.runtime.node import Array, Node
    from qtool.runtime.window import Window

AXES = 3
"""Spatial axes of the kernels."""


def window_shape(node: Node, window: Window) -> WindowShape:
    """Return the window in three axes.

    Raises:
        ArtifactError: it has four axes or more.
    """
    from qtool.runtime.native._kernels import WindowShape

    if len(window.kernel) > AXES:
        node.fail(f"the native kernels have windows of one to {AXES} axes, found {window.kernel}")
    return WindowShape(
        triple(window.kernel, 1),
        triple(window.strides, 1),
        triple(window.dilations, 1),
        triple(window.begin, 0),
    )


def end_pads(window: Window) -> Triple:
    """Return the padding behind, in three axes."""
    return triple(window.end, 0)


def output_extents(node: Node, window: Window, x: Array) -> tuple[int, ...]:
    """Return the number of windows along each spatial axis of codes whose channels come last."""
    return window.output(node, (x.shape[0], x.shape[-1], *x.shape[1:-1]))


def as_images(x: Array) -> Array:
    """Return a view (batch, depth, height, width, channels) of images of one to three axes."""
    return x.reshape(len(x), *triple(x.shape[1:-1], 1), x.shape[-1])


def triple(values: tuple[int, ...], missing: int) -> Triple:
    """Put what is missing in front of one to three values."""
    depth, height, width = (*[missing] * (AXES - len(values)), *values)
    return depth, height, width
