"""Geometry of convolutions and pooling windows, with `auto_pad` resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passes.ir.layers import Layer


@dataclass(frozen=True, slots=True)
class ConvWindow:
    """Geometry of a convolution on an input of known size; every field has one entry per spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    out: tuple[int, ...]

    @classmethod
    def of(cls, layer: Layer, spatial: Sequence[int]) -> ConvWindow:
        """Read the geometry of a Conv (ONNX opset 11) on an input of this spatial size."""
        return cls.of_attrs(layer.node.attrs, layer.weight.shape[2:], spatial)  # type: ignore[union-attr]

    @classmethod
    def of_attrs(cls, attrs: Mapping[str, Any], kernel: Sequence[int], spatial: Sequence[int]) -> ConvWindow:
        """Read the attributes that Conv, MaxPool and AveragePool share."""
        rank = len(spatial)
        strides = tuple(attrs.get("strides") or [1] * rank)
        dilations = tuple(attrs.get("dilations") or [1] * rank)
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        flat = list(attrs.get("pads") or [0] * (2 * rank))
        pads = [(flat[axis], flat[axis + rank]) for axis in range(rank)]
        mode = attrs.get("auto_pad", "NOTSET")
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            pads = [_same(n, s, r, mode) for n, s, r in zip(spatial, strides, reach, strict=True)]
        out = [(n + sum(p) - r) // s + 1 for n, p, r, s in zip(spatial, pads, reach, strides, strict=True)]
        return cls(tuple(kernel), strides, dilations, tuple(pads), tuple(out))


def _same(size: int, stride: int, reach: int, mode: str) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if mode == "SAME_UPPER" else (large, small)
