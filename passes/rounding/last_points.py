"""The last point of every channel of a weight, to be rounded anew while the others stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.ir.layers import weight_matrix
from passes.ir.points import checked_rows
from passes.ir.weights import rounded_weight
from passes.numerics import QuantParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.plan import TensorQuant


@dataclass(frozen=True, slots=True)
class LastPoints:
    """A weight with points, taken apart.

    Attributes:
        layer: the layer.
        quant: of its weight, with points.
        several: whether a channel has more than one point, bool (channels,).
        last: the last row of each channel, int64 (channels,).
    """

    layer: Layer
    quant: TensorQuant
    several: NDArray[np.bool_]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, layer: Layer, quant: TensorQuant) -> LastPoints | None:
        """Take a weight apart, or return ``None`` for one without points."""
        if quant.points is None:
            return None
        counts = np.array(quant.points, dtype=np.int64)
        return cls(layer, quant, counts > 1, np.cumsum(counts) - 1)

    def alone(self) -> TensorQuant:
        """Return the quantization of the last points as that of a weight of which they are all."""
        scale = np.ascontiguousarray(self.quant.params.scale[self.last])  # type: ignore[union-attr]
        return self.quant.with_params(QuantParams(scale, np.zeros(scale.shape, np.int32)))

    def fixed(self) -> NDArray[np.float64]:
        """Return what the other points add up to, in the shape of `weight_matrix`."""
        codes = np.take(checked_rows(self.layer, self.quant), self.last, self.layer.channel_axis)
        quant = self.alone()
        scale = quant.spec.granularity.expand(quant.params.scale, codes.shape)  # type: ignore[union-attr]
        whole = rounded_weight(self.layer, self.quant).astype(np.float64)
        return weight_matrix(self.layer, whole - codes * scale.astype(np.float64))

    def merged(self, alone: TensorQuant) -> TensorQuant:
        """Return the weight with other last points, in codes and scales."""
        codes, scale = np.array(self.quant.codes), np.array(self.quant.params.scale)  # type: ignore[union-attr]
        rows = np.moveaxis(codes, self.layer.channel_axis, 0)
        rows[self.last] = np.moveaxis(np.asarray(alone.codes), self.layer.channel_axis, 0)
        scale[self.last] = alone.params.scale  # type: ignore[union-attr]
        params = QuantParams(scale, np.zeros(scale.shape, np.int32))
        return self.quant.with_codes(params, codes, self.quant.points)
