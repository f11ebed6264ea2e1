"""Where free levels of a weight begin: at those of least squared error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from passes.numerics import QuantParams
from passes.numerics.levels import CODE_BITS, fit_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant


@dataclass(frozen=True, slots=True)
class FreeLevels:
    """How free levels are learned.

    Attributes:
        correction: of their gradient, as for `passes.training.level_table.LevelTable`.
    """

    correction: float


def with_free_levels(
    values: NDArray[np.float32], quant: TensorQuant, least: NDArray[np.float64]
) -> TensorQuant:
    """Return the quantization of a weight with free levels in place of uniform ones; of 8 bits as it is.

    Args:
        values: the weight.
        quant: with parameters, and without groups.
        least: scales do not fall below these, of the shape of the scale.
    """
    spec, params = quant.spec, quant.params
    if spec.format.bits >= CODE_BITS or params is None:
        return quant
    scale, levels = fit_table(values, spec, params, least)
    wide = replace(spec, format=replace(spec.format, bits=CODE_BITS))
    return replace(quant, spec=wide, params=QuantParams(scale, params.zero_point), codes=None, levels=levels)
