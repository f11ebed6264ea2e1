"""Steps that move values and compute nothing; they serve codes and float32 alike (ONNX, opset 21)."""

from __future__ import annotations

from math import prod

import numpy as np

from qtool.runtime.node import Array, Kernel, Node


def identity(_node: Node) -> Kernel:
    """Build the kernel that returns its input."""
    return lambda x: x


def constant(node: Node) -> Kernel:
    """Build the kernel that returns the codes of the table."""
    if node.step.table is None:
        node.fail("lacks its table")
    codes = node.step.table.astype(node.output.dtype).reshape(node.step.integers("shape"))
    return lambda: codes


def reshape(node: Node) -> Kernel:
    """Build the kernel for Reshape; 0 keeps the extent of the input and -1 is inferred."""
    target = node.step.integers("shape")

    def run(x: Array) -> Array:
        return x.reshape([x.shape[axis] if extent == 0 else extent for axis, extent in enumerate(target)])

    return run


def flatten(node: Node) -> Kernel:
    """Build the kernel for Flatten: the axes before and from `axis` on become one each."""
    axis = node.step.integer("axis")

    def run(x: Array) -> Array:
        cut = axis + x.ndim if axis < 0 else axis
        return x.reshape(prod(x.shape[:cut]), prod(x.shape[cut:]))

    return run


def transpose(node: Node) -> Kernel:
    """Build the kernel for Transpose."""
    perm = node.step.integers("perm")
    return lambda x: np.ascontiguousarray(x.transpose(perm))


def squeeze(node: Node) -> Kernel:
    """Build the kernel for Squeeze of the axes given."""
    axes = node.step.integers("axes")
    return lambda x: np.squeeze(x, axes)


def unsqueeze(node: Node) -> Kernel:
    """Build the kernel for Unsqueeze; axes count in the result."""
    axes = node.step.integers("axes")
    return lambda x: np.expand_dims(x, axes)


def slice_(node: Node) -> Kernel:
    """Build the kernel for Slice."""
    view = slice_view(node)
    return lambda x: np.ascontiguousarray(view(x))


def slice_view(node: Node) -> Kernel:
    """Build the function from an array to the view that Slice takes of it; bounds beyond it are clamped."""
    names = ("starts", "ends", "axes", "steps")
    starts, ends, axes, steps = (node.step.integers(name) for name in names)
    if len({len(starts), len(ends), len(axes), len(steps)}) != 1 or 0 in steps:
        node.fail("expected starts, ends, axes and steps of one length, and no step of 0")

    def run(x: Array) -> Array:
        cut = [slice(None)] * x.ndim
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            extent = x.shape[axis]
            # Going backwards, an end in front of the input includes its first element.
            stop = None if step < 0 and end < -extent else end
            cut[axis] = slice(start, stop, step)
        return np.asarray(x[tuple(cut)])

    return run


def pad(node: Node) -> Kernel:
    """Build the kernel for Pad with the value 0, which is the zero point in codes."""
    pads = node.step.integers("pads")
    value = 0 if node.output.is_float else node.output.zero_point

    def run(x: Array) -> Array:
        if len(pads) != 2 * x.ndim:
            node.fail(f"expected {2 * x.ndim} pads for an input of shape {x.shape}, found {len(pads)}")
        widths = list(zip(pads[: x.ndim], pads[x.ndim :], strict=True))
        node.check_size([extent + sum(width) for extent, width in zip(x.shape, widths, strict=True)])
        return np.pad(x, widths, constant_values=value)

    return run


def gather(node: Node) -> Kernel:
    """Build the kernel for Gather with the indices of the table; negative ones count from the back."""
    if node.step.table is None:
        node.fail("lacks its indices")
    indices = node.step.table.reshape(node.step.integers("shape"))
    axis = node.step.integer("axis")

    def run(x: Array) -> Array:
        node.check_size([x.size // max(1, x.shape[axis]), indices.size])
        return np.take(x, indices, axis)

    return run


def resize(node: Node) -> Kernel:
    """Build the kernel for Resize to the nearest element: axis by axis, the input positions of the table."""
    axes, sizes = node.step.integers("axes"), node.step.integers("sizes")
    if node.step.table is None or len(axes) != len(sizes):
        node.fail("expected a table, and as many sizes as axes")
    positions = np.split(node.step.table, np.cumsum(sizes)[:-1])

    def run(x: Array) -> Array:
        for axis, indices in zip(axes, positions, strict=True):
            node.check_size([x.size // max(1, x.shape[axis]), indices.size])
            x = np.take(x, indices, axis)
        return x

    return run


def upsample(node: Node) -> Kernel:
    """Build the kernel for Resize to the nearest element by whole factors: elements are repeated."""
    axes, factors = node.step.integers("axes"), node.step.integers("factors")
    if len(axes) != len(factors):
        node.fail("expected as many factors as axes")

    def run(x: Array) -> Array:
        for axis, factor in zip(axes, factors, strict=True):
            node.check_size([x.size, factor])
            x = np.repeat(x, factor, axis)
        return x

    return run


def depth_to_space(node: Node) -> Kernel:
    """Build the kernel for DepthToSpace on (batch, channel, height, width), in either of its modes."""
    size, depth_first = node.step.integer("blocksize"), node.step.attrs["mode"] == "DCR"

    def run(x: Array) -> Array:
        batch, channels, height, width = x.shape
        inner = channels // size**2
        split = (size, size, inner) if depth_first else (inner, size, size)
        order = (0, 3, 4, 1, 5, 2) if depth_first else (0, 1, 4, 2, 5, 3)
        blocks = x.reshape(batch, *split, height, width).transpose(order)
        return blocks.reshape(batch, inner, height * size, width * size)

    return run


def expand(node: Node) -> Kernel:
    """Build the kernel for Expand: broadcast against a shape."""
    target = node.step.integers("shape")

    def run(x: Array) -> Array:
        shape = np.broadcast_shapes(x.shape, target)
        node.check_size(shape)
        return np.ascontiguousarray(np.broadcast_to(x, shape))

    return run


KERNELS = {
    "identity": identity,
    "constant": constant,
    "reshape": reshape,
    "flatten": flatten,
    "transpose": transpose,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "slice": slice_,
    "pad": pad,
    "gather": gather,
    "resize": resize,
    "upsample": upsample,
    "depth_to_space": depth_to_space,
    "expand": expand,
}
