"""ONNX attributes and constant inputs as the explicit attributes of integer steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import LoweringError
from passes.ir.window import ConvWindow
from passes.lowering.resize import resize_step
from passes.lowering.settings import setting

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.artifact import Attr
    from passes.ir.layers import Layer

_INT64_MAX = np.iinfo(np.int64).max
SOFTMAX_OPSET = 13
"""Since then a Softmax runs along one axis."""
_POOLS = frozenset({"MaxPool", "AveragePool"})


def clamp_bounds(node: gs.Node) -> tuple[float | None, float | None]:
    """Return the bounds of a Relu or Clip; ``None`` where it has none."""
    if node.op == "Relu":
        return 0.0, None
    low, high = setting(node, "min", 1), setting(node, "max", 2)
    return _number(low), _number(high)


def _number(value: Any) -> float | None:
    return None if value is None else float(np.asarray(value).item())


def layer_attrs(layer: Layer) -> dict[str, Attr]:
    """Return the attributes of a conv or conv_transpose step; a matrix product has none."""
    if layer.op not in ("Conv", "ConvTranspose"):
        return {}
    attrs = layer.node.attrs
    kernel = layer.weight.shape[2:]  # type: ignore[union-attr]
    window = _window(layer.node, kernel)
    common: dict[str, Attr] = {**window, "group": layer.groups}
    if layer.op == "Conv":
        return common
    if attrs.get("output_shape") or attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise LoweringError(
            f"layer {layer.name}: ConvTranspose with output_shape or auto_pad is not supported"
        )
    return common | {"output_padding": _ints(attrs.get("output_padding") or [0] * len(kernel))}


def pool_attrs(node: gs.Node) -> dict[str, Attr]:
    """Return the attributes of an average_pool step."""
    return _pool(node) | {"count_include_pad": int(node.attrs.get("count_include_pad", 0))}


def reduce_attrs(node: gs.Node) -> dict[str, Attr]:
    """Return the attributes of a reduce_mean step."""
    axes = setting(node, "axes", 1)
    return {"axes": _ints(axes), "keepdims": int(node.attrs.get("keepdims", 1))}


def softmax_attrs(node: gs.Node, opset: int) -> dict[str, Attr]:
    """Return the axis; before opset 13 a Softmax runs over its axis and all behind it at once."""
    if "Softmax" not in node.op:
        return {}
    axis = int(node.attrs.get("axis", -1 if opset >= SOFTMAX_OPSET else 1))
    if opset < SOFTMAX_OPSET and axis not in (-1, len(node.inputs[0].shape) - 1):
        raise LoweringError(f"node {node.name}: {node.op} over several axes has no packed form")
    return {"axis": axis}


def mover_step(node: gs.Node) -> tuple[str, dict[str, Attr], NDArray[np.int64] | None]:
    """Return operation, attributes and table of a step that moves codes.

    Raises:
        LoweringError: a setting is computed at run time, or the operator has no step.
    """
    if node.op == "Resize":
        return resize_step(node)
    if node.op == "Gather":
        return _gather(node)
    if node.op not in _MOVERS:
        raise LoweringError(f"node {node.name}: {node.op} has no packed form")
    op, attrs = _MOVERS[node.op]
    return op, attrs(node), None


def _gather(node: gs.Node) -> tuple[str, dict[str, Attr], NDArray[np.int64]]:
    indices = np.asarray(setting(node, "indices", 1), dtype=np.int64)
    attrs: dict[str, Attr] = {"axis": int(node.attrs.get("axis", 0)), "shape": list(indices.shape)}
    return "gather", attrs, indices.reshape(-1)


def _window(node: gs.Node, kernel: Any) -> dict[str, Attr]:
    rank, attrs = len(kernel), node.attrs
    pads = _ints(attrs.get("pads") or [0] * (2 * rank))
    if attrs.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        spatial = (node.inputs[0].shape or [])[2:]
        if len(spatial) != rank or not all(isinstance(size, int) for size in spatial):
            raise LoweringError(f"node {node.name}: auto_pad on an input of unknown size")
        if node.op in _POOLS and any(step != 1 for step in attrs.get("dilations") or ()):
            raise LoweringError(
                f"node {node.name}: ONNX Runtime pads {node.op} with auto_pad and dilations less"
            )
        resolved = ConvWindow.of_attrs(attrs, kernel, spatial).pads
        pads = [pair[0] for pair in resolved] + [pair[1] for pair in resolved]
    strides, dilations = attrs.get("strides") or [1] * rank, attrs.get("dilations") or [1] * rank
    return {"strides": _ints(strides), "pads": pads, "dilations": _ints(dilations)}


def _pool(node: gs.Node) -> dict[str, Attr]:
    kernel = node.attrs["kernel_shape"]
    window = _window(node, kernel)
    return {**window, "kernel_shape": _ints(kernel), "ceil_mode": int(node.attrs.get("ceil_mode", 0))}


def _global_pool(node: gs.Node) -> dict[str, Attr]:
    spatial = (node.inputs[0].shape or [])[2:]
    if not spatial or not all(isinstance(size, int) for size in spatial):
        raise LoweringError(f"node {node.name}: {node.op} on an input of unknown size")
    rank = len(spatial)
    ones = [1] * rank
    window: dict[str, Attr] = {"strides": ones, "pads": [0] * (2 * rank), "dilations": ones}
    return window | {"kernel_shape": _ints(spatial), "ceil_mode": 0}


def _slice(node: gs.Node) -> dict[str, Attr]:
    starts, ends = setting(node, "starts", 1), setting(node, "ends", 2)
    axes, steps = setting(node, "axes", 3), setting(node, "steps", 4)
    count = len(starts)
    return {
        "starts": _ints(starts),
        "ends": _ints(np.minimum(np.asarray(ends, dtype=np.int64), _INT64_MAX)),
        "axes": _ints(axes if axes is not None else range(count)),
        "steps": _ints(steps if steps is not None else [1] * count),
    }


def _pad(node: gs.Node) -> dict[str, Attr]:
    mode = node.attrs.get("mode", "constant")
    value, axes = setting(node, "value", 2), setting(node, "axes", 3)
    if mode not in ("constant", b"constant") or (value is not None and np.any(value)) or axes is not None:
        raise LoweringError(f"node {node.name}: only zero padding of all axes has a packed form")
    return {"pads": _ints(setting(node, "pads", 1))}


def _reshape(node: gs.Node) -> dict[str, Attr]:
    shape = _ints(setting(node, "shape", 1))
    if node.attrs.get("allowzero", 0) and 0 in shape:
        raise LoweringError(f"node {node.name}: Reshape to an empty tensor has no packed form")
    return {"shape": shape}


def _transpose(node: gs.Node) -> dict[str, Attr]:
    rank = len(node.inputs[0].shape or [])
    return {"perm": _ints(node.attrs.get("perm") or range(rank - 1, -1, -1))}


def _axes(node: gs.Node) -> dict[str, Attr]:
    axes = setting(node, "axes", 1)
    if axes is None:
        shape = node.inputs[0].shape or []
        axes = [axis for axis, size in enumerate(shape) if size == 1]
    return {"axes": _ints(axes)}


def _depth_to_space(node: gs.Node) -> dict[str, Attr]:
    mode = node.attrs.get("mode", "DCR")
    return {"blocksize": int(node.attrs["blocksize"]), "mode": mode}


def _ints(values: Any) -> list[int]:
    return [int(value) for value in values]


_MOVERS: dict[str, tuple[str, Callable[[gs.Node], dict[str, Attr]]]] = {
    "Concat": ("concat", lambda node: {"axis": int(node.attrs["axis"])}),
    "DepthToSpace": ("depth_to_space", _depth_to_space),
    "Dropout": ("identity", lambda _: {}),
    "Expand": ("expand", lambda node: {"shape": _ints(setting(node, "shape", 1))}),
    "Flatten": ("flatten", lambda node: {"axis": int(node.attrs.get("axis", 1))}),
    "GlobalMaxPool": ("max_pool", _global_pool),
    "Identity": ("identity", lambda _: {}),
    "MaxPool": ("max_pool", _pool),
    "Pad": ("pad", _pad),
    "Reshape": ("reshape", _reshape),
    "Slice": ("slice", _slice),
    "Squeeze": ("squeeze", _axes),
    "Transpose": ("transpose", _transpose),
    "Unsqueeze": ("unsqueeze", _axes),
}
