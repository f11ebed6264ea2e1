"""The work of a layer whose output channels are sums of several rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwmodels import Workload
    from passes.ir.plan import TensorQuant


def widened_workload(work: Workload, quant: TensorQuant | None) -> Workload:
    """Return the work with a row of results, of weights and of accumulators for every point.

    Every row has a multiplier. A convolution of several groups gets a group for each row, which reads the
    input channels of its own again.

    Args:
        work: of a Conv, Gemm or MatMul, as if each channel had one point.
        quant: of its weight; without points nothing changes.
    """
    if quant is None or quant.points is None:
        return work
    rows, channels = sum(quant.points), work.out_channels
    return replace(
        work,
        groups=work.groups if work.groups == 1 else rows,
        in_channels=work.in_channels if work.groups == 1 else work.in_channels // work.groups * rows,
        in_elements=work.in_elements if work.groups == 1 else work.in_elements // work.groups * rows,
        out_channels=rows,
        out_elements=work.out_elements // channels * rows,
        weight_count=work.weight_count // channels * rows,
        multiplier_count=rows,
    )
