"""Resize to the nearest element (ONNX Resize, opsets 10 to 19): by tables of positions, or by repetition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.errors import LoweringError
from passes.lowering.settings import setting

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.artifact.step import Attr

PROBED_EXTENTS = range(1, 17)
"""Extents on which a resize by a whole factor is compared with plain repetition."""


def resize_step(node: gs.Node) -> tuple[str, dict[str, Attr], NDArray[np.int64] | None]:
    """Return operation, attributes and table: a resize where sizes are known, else an upsample.

    Raises:
        LoweringError: sizes are unknown and the resize is no repetition of elements by whole factors.
    """
    if node.attrs.get("mode", "nearest") != "nearest":
        raise LoweringError(f"node {node.name}: only Resize to the nearest element has a packed form")
    source, scales = node.inputs[0].shape or [], _scales(node)
    sizes = _sizes(node, source, scales)
    if sizes is None:
        return "upsample", _repetition(node, scales), None
    axes = [axis for axis, extent in enumerate(source) if extent != sizes[axis]]
    tables = [
        positions(node, int(source[axis]), sizes[axis], _scale(scales, axis, source, sizes)) for axis in axes
    ]
    table = np.concatenate(tables) if tables else np.zeros(0, dtype=np.int64)
    return "resize", {"axes": axes, "sizes": [sizes[axis] for axis in axes]}, table


def positions(node: gs.Node, extent: int, size: int, scale: float) -> NDArray[np.int64]:
    """Return the input position of every output position along one axis.

    Args:
        node: for its two modes of rounding and of coordinates.
        extent: of the input.
        size: of the output.
        scale: output elements for one input element.

    Raises:
        LoweringError: a mode that is not known.
    """
    mode = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    rounding = node.attrs.get("nearest_mode", "round_prefer_floor")
    if mode not in _COORDINATES or rounding not in _ROUNDINGS:
        raise LoweringError(f"node {node.name}: Resize with {mode} and {rounding} has no packed form")
    at = _COORDINATES[mode](np.arange(size, dtype=np.float64), scale, extent, size)
    return np.clip(_ROUNDINGS[rounding](at), 0, extent - 1).astype(np.int64)


def _repetition(node: gs.Node, scales: list[float] | None) -> dict[str, Attr]:
    factors = [] if scales is None else [int(scale) for scale in scales]
    if not factors or factors != scales or min(factors) < 1:
        raise LoweringError(f"node {node.name}: Resize of an unknown size by {scales} has no packed form")
    axes = [axis for axis, factor in enumerate(factors) if factor > 1]
    for factor in {factors[axis] for axis in axes}:
        for extent in PROBED_EXTENTS:
            found = positions(node, extent, extent * factor, float(factor))
            if not np.array_equal(found, np.repeat(np.arange(extent), factor)):
                raise LoweringError(f"node {node.name}: Resize of an unknown size does not repeat elements")
    return {"axes": axes, "factors": [factors[axis] for axis in axes]}


def _scales(node: gs.Node) -> list[float] | None:
    values = setting(node, "scales", 1 if len(node.inputs) == 2 else 2)
    return None if values is None or np.size(values) == 0 else [float(value) for value in values]


def _sizes(node: gs.Node, source: list[int | str], scales: list[float] | None) -> list[int] | None:
    """Return the extents of the output, or ``None`` where those of the input are unknown."""
    known = all(isinstance(extent, int) for extent in source[1:])
    wanted = setting(node, "sizes", 3)
    if wanted is not None and known and len(source) == len(wanted) and not node.attrs.get("axes"):
        return [source[0], *(int(size) for size in wanted[1:])]  # type: ignore[list-item]
    if scales is None or len(scales) != len(source) or scales[0] != 1.0 or not known:
        return None
    parts = zip(source[1:], scales[1:], strict=True)
    return [source[0], *(int(np.floor(extent * scale)) for extent, scale in parts)]  # type: ignore[list-item,operator]


def _scale(scales: list[float] | None, axis: int, source: list[int | str], sizes: list[int]) -> float:
    return scales[axis] if scales is not None else sizes[axis] / int(source[axis])


def _aligned(x: NDArray[np.float64], scale: float, extent: int, size: int) -> NDArray[np.float64]:
    return x * (extent - 1) / (size - 1) if size > 1 else x * 0


def _half_pixel(x: NDArray[np.float64], scale: float, extent: int, size: int) -> NDArray[np.float64]:
    return (x + 0.5) / scale - 0.5


def _pytorch(x: NDArray[np.float64], scale: float, extent: int, size: int) -> NDArray[np.float64]:
    return (x + 0.5) / scale - 0.5 if size > 1 else x * 0


def _asymmetric(x: NDArray[np.float64], scale: float, extent: int, size: int) -> NDArray[np.float64]:
    return x / scale


_COORDINATES: dict[str, Callable[[NDArray[np.float64], float, int, int], NDArray[np.float64]]] = {
    "half_pixel": _half_pixel,
    "pytorch_half_pixel": _pytorch,
    "asymmetric": _asymmetric,
    "align_corners": _aligned,
}
_ROUNDINGS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
}
