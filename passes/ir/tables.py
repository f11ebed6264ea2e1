"""Weights with few free levels in place of uniform integers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from passes.numerics import PerGroup, QuantParams
from passes.numerics.levels import CODE_BITS, fit_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant


def may_have_levels(quant: TensorQuant) -> bool:
    """Return whether a weight is of signed integers around 0, without groups or points."""
    spec, zeros = quant.spec, quant.params is not None and not quant.params.zero_point.any()
    plain = quant.points is quant.levels is None and not isinstance(spec.granularity, PerGroup)
    return plain and zeros and spec.format.signed


def with_free_levels(
    values: NDArray[np.float32], quant: TensorQuant, least: NDArray[np.float64]
) -> TensorQuant:
    """Return the quantization of a weight with as many levels of least squared error.

    One of 8 bits or more stays as it is, and one that may not have levels.

    Args:
        values: the weight.
        quant: with parameters.
        least: scales do not fall below these, of the shape of the scale.
    """
    params = quant.params
    if params is None or quant.spec.format.bits >= CODE_BITS or not may_have_levels(quant):
        return quant
    scale, levels = fit_table(values, quant.spec, params, least)
    wide = replace(quant.spec, format=replace(quant.spec.format, bits=CODE_BITS))
    return replace(quant, spec=wide, params=QuantParams(scale, params.zero_point), codes=None, levels=levels)
