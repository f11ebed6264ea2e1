"""TensorQuantOverrides of ONNX Runtime's quantization tool, as JSON.

The form is that of ``extra_options={"TensorQuantOverrides": ...}`` (onnxruntime.quantization): a list of
objects by tensor name, one per channel where the first names an axis; types are spelled QInt8 and the like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import DataError, PlanError
from passes.interchange.encodings import MAX_NAME, Encoding, encoding, flat
from passes.ir.plan import Role
from passes.numerics import IntFormat, PerChannel, PerGroup, QuantSpec, params_from_range

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.ir.plan import TensorQuant

TYPES = {
    "QInt4": IntFormat(4), "QUInt4": IntFormat(4, signed=False), "QInt8": IntFormat(8),
    "QUInt8": IntFormat(8, signed=False), "QInt16": IntFormat(16), "QUInt16": IntFormat(16, signed=False),
}  # fmt: skip
"""Formats by the name of their type."""
_NAMES = {(fmt.bits, fmt.signed): name for name, fmt in TYPES.items()}


def to_overrides(tensors: Mapping[str, TensorQuant]) -> dict[str, list[dict[str, Any]]]:
    """Return overrides for the tensors of a plan.

    Weights of other widths go into the next wider type, where their codes are the same.

    Raises:
        PlanError: activations of a width that ONNX Runtime has no type for, or scales of groups or points.
    """
    return {name: _rows(name, quant) for name, quant in tensors.items()}


def _rows(name: str, quant: TensorQuant) -> list[dict[str, Any]]:
    fmt, granularity = quant.spec.format, quant.spec.granularity
    bits = next(width for width in (4, 8, 16) if width >= fmt.bits)
    exact = bits == fmt.bits and not fmt.narrow_range
    if isinstance(granularity, PerGroup) or (quant.role is Role.ACT and not exact):
        raise PlanError(
            f"tensor {name[:MAX_NAME]!r} ({fmt}, {granularity}): overrides of ONNX Runtime have activations "
            "of 4, 8 or 16 bits, and one scale for a tensor or a channel; give it one of these"
        )
    kind = {"quant_type": _NAMES[bits, fmt.signed]}
    axis = {"axis": granularity.axis} if isinstance(granularity, PerChannel) else {}
    rows = zip(*flat(quant, name), strict=True)
    return [kind | axis | {"scale": scale, "zero_point": zero} for scale, zero in rows]


def from_overrides(document: Any, where: str) -> dict[str, Encoding]:
    """Read overrides; a type without numbers becomes an encoding without scales.

    Raises:
        PlanError: an entry that makes no sense, or ``convert``, which gives a tensor two types.
    """
    if not isinstance(document, dict):
        raise PlanError(f"{where}: expected an object with a list for each tensor")
    return {name: _read(rows, f"{where}: {name[:MAX_NAME]!r}") for name, rows in document.items() if rows}


def _read(rows: Any, where: str) -> Encoding:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PlanError(f"{where}: expected a list of objects")
    first = rows[0]
    if "convert" in first:
        raise PlanError(f"{where}: convert gives a tensor two types; expected one")
    fmt, axis = TYPES.get(str(first.get("quant_type", "QUInt8"))), first.get("axis")
    if fmt is None or not (axis is None or type(axis) is int):
        raise PlanError(
            f"{where}: expected a quant_type of {', '.join(TYPES)} and a whole axis, found "
            f"{first.get('quant_type')!s:.40} and {axis!s:.40}"
        )
    if "rmin" in first:
        scale, zero = _of_ranges(rows, fmt, where)
    elif "scale" in first:
        scale, zero = [row.get("scale") for row in rows], [_first(row.get("zero_point")) for row in rows]
        scale = [_first(value) for value in scale]
    else:
        return Encoding(fmt, np.zeros(0, np.float32), np.zeros(0, np.int64), axis, axis is not None)
    read = encoding(fmt.bits, fmt.signed, scale, zero, where)
    return Encoding(read.format, read.scale, read.zero, axis, axis is not None)


def _of_ranges(rows: list[dict[str, Any]], fmt: IntFormat, where: str) -> tuple[list[float], list[int]]:
    try:
        low, high = (np.array([float(row[key]) for row in rows]) for key in ("rmin", "rmax"))
        spec = QuantSpec(fmt, symmetric=bool(rows[0].get("symmetric", False)))
        params = params_from_range(low, high, spec)
    except (KeyError, TypeError, ValueError, OverflowError, DataError) as error:
        raise PlanError(f"{where}: expected rmin and rmax of every channel: {error!s:.120}") from error
    return params.scale.tolist(), params.zero_point.tolist()


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
