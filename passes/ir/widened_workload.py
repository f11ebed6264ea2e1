"""The work of a layer whose output channels are sums of several rows, or whose weights have tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def tabled_workload(work: Workload, bits: int) -> Workload:
    """Return the work with weights that are stored as indices of so many bits into full tables.

    A machine multiplies levels as the bytes that they are; LSTM, GRU and RNN have two tables.
    """
    return replace(work, index_bits=bits, table_bytes=(2 if work.op == "Recurrent" else 1) << bits)


def planned_workload(work: Workload, quants: Iterable[TensorQuant]) -> Workload:
    """Return the work of a layer with the points and tables that a plan has for its weights."""
    found = list(quants)
    tables = [quant.levels for quant in found if quant.levels is not None]
    if tables and len(tables) == len(found):
        bits = max(quant.stored_bits for quant in found)
        return replace(work, index_bits=bits, table_bytes=sum(map(len, tables)))
    return widened_workload(work, found[0] if found else None)
