"""Windows over NHWC images for the native kernels; one spatial axis is an image of height 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Pair, WindowShape
    from qtool.runtime.node import Array, Node
    from qtool.runtime.window import Window


def window_shape(node: Node, window: Window) -> WindowShape:
    """Return the window in two axes.

    Raises:
        ArtifactError: it has three axes or more.
    """
    from qtool.runtime.native._kernels import WindowShape

    if len(window.kernel) > 2:
        node.fail(f"the native kernels have windows of one or two axes, found {window.kernel}")
    return WindowShape(
        _pair(window.kernel, 1), _pair(window.strides, 1), _pair(window.dilations, 1), _pair(window.begin, 0)
    )


def end_pads(window: Window) -> Pair:
    """Return the padding behind, in two axes."""
    return _pair(window.end, 0)


def output_extents(node: Node, window: Window, x: Array) -> tuple[int, ...]:
    """Return the number of windows along each spatial axis of NHWC codes."""
    return window.output(node, (x.shape[0], x.shape[-1], *x.shape[1:-1]))


def as_images(x: Array) -> Array:
    """Return a view (batch, height, width, channels) of (batch, width, channels) or of itself."""
    return x[:, np.newaxis] if x.ndim == 3 else x


def _pair(values: tuple[int, ...], missing: int) -> Pair:
    height, width = values if len(values) == 2 else (missing, *values)
    return height, width
