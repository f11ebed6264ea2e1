"""Checks that the sizes of a layer are sizes, and that they agree with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodels.errors import HardwareError

if TYPE_CHECKING:
    from hwmodels.workload import Workload

MAX_SIZE = 2**63 - 1
MAX_RANK = 3


def check_geometry(work: Workload) -> None:
    """Refuse a layer that cannot be.

    Raises:
        HardwareError: a size is not a positive integer below 2**63, or two sizes contradict each other.
    """
    _check_sizes(work)
    _check_ranks(work)
    _check_agreement(work)


def _check_sizes(work: Workload) -> None:
    for field in (
        "batch",
        "groups",
        "in_channels",
        "out_channels",
        "in_elements",
        "out_elements",
        "steps",
    ):
        _check_size(work, field, getattr(work, field), least=1)
    for field in (
        "weight_count",
        "rhs_elements",
        "bias_count",
        "multiplier_count",
        "index_bits",
        "table_bytes",
    ):
        _check_size(work, field, getattr(work, field), least=0)
    for field in ("kernel", "out_spatial"):
        for size in getattr(work, field):
            _check_size(work, field, size, least=1)


def _check_size(work: Workload, field: str, size: object, *, least: int) -> None:
    if type(size) is not int or not least <= size <= MAX_SIZE:
        expected = f"an integer from {least} to {MAX_SIZE}"
        raise HardwareError(f"layer {work.name!r}: {field} must be {expected}, found {size!r}")


def _check_ranks(work: Workload) -> None:
    least = 1 if work.op.startswith("Conv") else 0
    if not least <= len(work.kernel) <= MAX_RANK * least:
        expected = f"{least} to {MAX_RANK}" if least else "no"
        raise HardwareError(
            f"layer {work.name!r}: kernel of {work.op} has {expected} sizes, found {work.kernel}"
        )
    if not 1 <= len(work.out_spatial) <= MAX_RANK:
        raise HardwareError(
            f"layer {work.name!r}: out_spatial has 1 to {MAX_RANK} sizes, found {work.out_spatial}"
        )


def _check_agreement(work: Workload) -> None:
    if work.in_channels % work.groups or work.out_channels % work.groups:
        channels = f"in_channels {work.in_channels} and out_channels {work.out_channels}"
        raise HardwareError(f"layer {work.name!r}: groups must divide {channels}, found {work.groups}")
    if (work.weight_count == 0) == (work.rhs_elements == 0):
        counts = f"{work.weight_count} and {work.rhs_elements}"
        raise HardwareError(
            f"layer {work.name!r}: one of weight_count and rhs_elements must be 0, found {counts}"
        )
    if work.in_elements % work.in_channels:
        raise HardwareError(
            f"layer {work.name!r}: in_elements must be a multiple of in_channels {work.in_channels}, "
            f"found {work.in_elements}"
        )
    if work.rows % work.steps:
        raise HardwareError(
            f"layer {work.name!r}: steps must divide the rows {work.rows}, found {work.steps}"
        )
