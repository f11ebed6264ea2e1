"""Files of encodings of other tools: which there are, and what is common to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import PlanError, UsageError
from passes.numerics import IntFormat

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant

MAX_BYTES = 1 << 28
MAX_NAME = 80
"""Characters of a name in a message."""


class Format(StrEnum):
    """A kind of file."""

    AIMET = "aimet"
    """AIMET encodings, version 1.0.0: lists of objects; either version is read."""
    AIMET_LEGACY = "aimet-0.6.1"
    """AIMET encodings, version 0.6.1: objects by name, with a list of one object per channel."""
    ORT_OVERRIDES = "ort-overrides"
    """TensorQuantOverrides of ONNX Runtime's quantization tool."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """What a file says of one tensor.

    Attributes:
        format: of the codes.
        scale: float32, shape (channels,), or (1,) for the whole tensor; empty where the file has no scale.
        zero: int64, of the same shape.
        axis: of the channels, where the file names it.
        by_channel: True where there is a scale for each channel.
    """

    format: IntFormat
    scale: NDArray[np.float32]
    zero: NDArray[np.int64]
    axis: int | None = None
    by_channel: bool = False


def read_json(path: Path) -> Any:
    """Read a JSON file of limited size.

    Raises:
        PlanError: it is missing, too large, or not JSON.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PlanError(f"{path}: expected at most {MAX_BYTES} bytes of encodings")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PlanError(f"{path}: cannot be read as JSON: {error!s:.200}") from error


def encoding(bits: object, signed: bool, scale: Any, zero: Any, where: str) -> Encoding:
    """Build an encoding from numbers of a file.

    Raises:
        PlanError: a number is no number, or not one of a quantizer.
    """
    try:
        fmt = IntFormat(_whole(bits), signed)
        with np.errstate(over="ignore"):
            scales = np.array([float(it) for it in scale], np.float32)
        zeros = np.array([_whole(it) for it in zero], np.int64)
    except (TypeError, ValueError, OverflowError, UsageError) as error:
        raise PlanError(f"{where}: expected bits, scales and offsets, found {error!s:.120}") from error
    if not scales.size or scales.size != zeros.size:
        raise PlanError(f"{where}: expected as many scales as offsets, found {scales.size} and {zeros.size}")
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise PlanError(f"{where}: expected positive finite scales, found {scales.min()}..{scales.max()}")
    if zeros.min() < fmt.qmin or zeros.max() > fmt.qmax:
        found = f"{zeros.min()}..{zeros.max()}"
        raise PlanError(f"{where}: expected zero points between {fmt.qmin} and {fmt.qmax}, found {found}")
    return Encoding(fmt, scales, zeros)


def flat(quant: TensorQuant, name: str) -> tuple[list[float], list[int]]:
    """Return scales and zero points of a tensor as lists.

    Raises:
        PlanError: the tensor has none yet, or several points or groups, which these files do not have.
    """
    params = quant.params
    if params is None or quant.points is not None:
        raise PlanError(f"tensor {name[:MAX_NAME]!r}: encodings need one scale for each channel")
    return params.scale.reshape(-1).tolist(), params.zero_point.reshape(-1).tolist()


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(f"{value!r}, which is not a whole number")
    return int(value)
