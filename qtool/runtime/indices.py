"""Steps beside the activations: rows of a table by index, truth values, lengths known at run time only."""

from __future__ import annotations

from math import prod

import numpy as np

from passes.errors import DataError
from qtool.runtime.node import Array, Kernel, Node


def embedding(node: Node) -> Kernel:
    """Build the kernel for Gather of rows of a table (ONNX, opset 13); negative indices count from the back.

    The kernel raises `DataError` for an index that has no row.
    """
    table = np.ascontiguousarray(node.weight.unpack()).astype(node.output.dtype)
    rows = len(table)

    def run(indices: Array) -> Array:
        check_rows(node, indices, rows)
        node.check_size([indices.size, table.shape[1]])
        return np.take(table, indices, 0)

    return run


def check_rows(node: Node, indices: Array, rows: int) -> None:
    """Raise `DataError` for an index that has no row."""
    least, most = int(indices.min(initial=0)), int(indices.max(initial=0))
    if least < -rows or most >= rows:
        found = least if least < -rows else most
        raise DataError(
            f"step {node.step.name!r}: index {found} lies outside -{rows}..{rows - 1}; "
            "the data do not belong to this model"
        )


def nonzero(_node: Node) -> Kernel:
    """Build the kernel for Cast to bool (ONNX, opset 13): 1 where an integer is not 0."""
    return lambda x: (x != 0).astype(np.uint8)


def trim(node: Node) -> Kernel:
    """Build the kernel that keeps the first elements along some axes, as many as another tensor has."""
    view = trim_view(node)
    return lambda x, like: np.ascontiguousarray(view(x, like))


def trim_view(node: Node) -> Kernel:
    """Build what `trim` copies: a view; raises `DataError` for data that are longer than the tensor."""
    axes, like_axes = node.step.integers("axes"), node.step.integers("like_axes")

    def view(x: Array, like: Array) -> Array:
        cut = [slice(None)] * x.ndim
        for axis, other in zip(axes, like_axes, strict=True):
            if like.shape[other] > x.shape[axis]:
                raise DataError(
                    f"step {node.step.name!r}: the data are {like.shape[other]} long on axis {other}; "
                    f"the model has a table for {x.shape[axis]} at the most"
                )
            cut[axis] = slice(like.shape[other])
        return x[tuple(cut)]

    return view


def reshape_like(node: Node) -> Kernel:
    """Build the kernel for a Reshape that takes some of its extents from another tensor."""
    shape, like_axes = node.step.integers("shape"), node.step.integers("like_axes")

    def run(x: Array, like: Array) -> Array:
        target = [
            extent if axis < 0 else like.shape[axis] for extent, axis in zip(shape, like_axes, strict=True)
        ]
        whole = [x.shape[axis] if extent == 0 else extent for axis, extent in enumerate(target)]
        if -1 not in whole and prod(whole) != x.size:
            node.fail(f"cannot arrange an input of shape {x.shape} as {tuple(whole)}")
        return x.reshape(whole)

    return run


KERNELS = {"embedding": embedding, "nonzero": nonzero, "trim": trim, "reshape_like": reshape_like}
