"""Arrays that a plan holds: checks of integer codes, and plan.safetensors beside plan.json.

Codes of weights are stored under the names of their tensors, values of constants as float32 under the name
with `CONSTANT` behind it.
"""

from __future__ import annotations

import hashlib
import json
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.artifact.container import container_bytes, read_container
from passes.artifact.points import MAX_POINTS
from passes.errors import ArtifactError, PlanError, UsageError
from passes.numerics import IntFormat, PerChannel, PerGroup
from passes.numerics.levels import CODE_BITS, check_table, nearest_level

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from passes.numerics import QuantParams, QuantSpec

CODES_SUFFIX = ".safetensors"
MAX_CODES_BYTES = 1 << 33
CONSTANT = ".constant"
_SHAPES = "shapes"
_KINDS = ("i1", "u1", "i2", "u2", "f4")


def checked_codes(
    codes: NDArray[np.integer], spec: QuantSpec, params: QuantParams | None
) -> NDArray[np.integer]:
    """Return a read-only copy of codes in the smallest type that holds their format.

    Raises:
        UsageError: there are no parameters, or the codes do not fit them or the format.
    """
    codes = np.asarray(codes)
    if params is None:
        raise UsageError("codes mean nothing without a scale; give parameters with them")
    if codes.dtype.kind not in "iu":
        raise UsageError(f"codes must be integers, found {codes.dtype}")
    shape = spec.granularity.param_shape(codes.shape)
    if prod(shape) != params.scale.size:
        raise UsageError(f"codes of shape {codes.shape} need {prod(shape)} scales, found {params.scale.size}")
    low, high = int(codes.min(initial=0)), int(codes.max(initial=0))
    if low < spec.format.qmin or high > spec.format.qmax:
        fmt = spec.format
        raise UsageError(f"codes of {fmt} lie in {fmt.qmin}..{fmt.qmax}, found {low}..{high}")
    copy = codes.astype(spec.format.dtype)
    copy.setflags(write=False)
    return copy


def check_points(
    points: tuple[int, ...],
    spec: QuantSpec,
    params: QuantParams | None,
    codes: NDArray[np.integer] | None,
) -> None:
    """Check the rows of each output channel of a weight.

    Raises:
        UsageError: there are no scales per row, or the counts do not add up to their number.
    """
    if params is None or not isinstance(spec.granularity, PerChannel) or not spec.symmetric:
        raise UsageError("points need a symmetric weight with a scale for each row")
    if not points or not all(1 <= count <= MAX_POINTS for count in points):
        raise UsageError(f"points: expected 1..{MAX_POINTS} for each channel, found {str(points)[:80]}")
    rows = params.scale.size if codes is None else codes.shape[spec.granularity.axis]
    if not sum(points) == rows == params.scale.size:
        raise UsageError(f"points add up to {sum(points)}, for {params.scale.size} scales and {rows} rows")


def check_levels(
    levels: tuple[int, ...],
    spec: QuantSpec,
    params: QuantParams | None,
    codes: NDArray[np.integer] | None,
) -> None:
    """Check the table of a weight, and that its codes are taken from it.

    Raises:
        UsageError: the weight has no scales, other codes than signed ones of 8 bits around 0, or groups; or
            the levels are no table.
    """
    if params is None or isinstance(spec.granularity, PerGroup):
        raise UsageError("levels need a weight with scales, and without groups")
    signed = spec.format in (IntFormat(CODE_BITS), IntFormat(CODE_BITS, narrow_range=True))
    if not signed or np.any(params.zero_point):
        raise UsageError(f"levels need a weight of signed codes of {CODE_BITS} bits, zero points of 0")
    check_table(levels, spec.format)
    if codes is not None and not np.array_equal(nearest_level(codes, levels), codes):
        raise UsageError(f"expected codes out of the table {list(levels)!s:.80}, found others")


def codes_bytes(
    codes: Mapping[str, NDArray[np.integer]],
    constants: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
) -> bytes:
    """Return the contents of plan.safetensors; empty when there is nothing to keep.

    Every tensor is stored as its little-endian bytes; element types and shapes stand in the metadata.

    Raises:
        PlanError: a tensor with codes is called like a constant with `CONSTANT` behind its name.
    """
    arrays: dict[str, NDArray[Any]] = {f"{name}{CONSTANT}": values for name, values in constants.items()}
    if both := arrays.keys() & codes.keys():
        raise PlanError(f"tensors {sorted(both)} have names that the plan needs; rename them in the model")
    arrays |= codes
    if not arrays:
        return b""
    ordered = {name: arrays[name] for name in sorted(arrays)}
    shapes = {name: [values.dtype.str[1:], *values.shape] for name, values in ordered.items()}
    raw = {
        name: np.frombuffer(values.astype(values.dtype.newbyteorder("<")).tobytes(), np.uint8)
        for name, values in ordered.items()
    }
    return container_bytes({_SHAPES: json.dumps(shapes, separators=(",", ":"))}, raw)


def read_codes(
    path: Path, digest: object
) -> tuple[dict[str, NDArray[np.integer]], dict[str, NDArray[np.float32]]]:
    """Read plan.safetensors.

    Args:
        path: the file.
        digest: SHA-256 of its bytes, in hexadecimal, as plan.json names it; any file will do for ``None``.

    Returns:
        Codes by name of their tensor, and values of constants by name.

    Raises:
        PlanError: the file is missing, damaged, or another one than the plan names.
    """
    try:
        if path.stat().st_size > MAX_CODES_BYTES:
            raise PlanError(f"{path}: expected codes of at most {MAX_CODES_BYTES} bytes")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PlanError(f"{path}: the plan needs this file beside it: {error}") from error
    if digest is not None and found != digest:
        raise PlanError(f"{path}: the plan names codes with sha256 {digest!s:.80}, this file has {found}")
    try:
        container = read_container(path)
        shapes = json.loads(container.metadata[_SHAPES])
        arrays = {name: _tensor(data, shapes[name]) for name, data in container.tensors.items()}
    except (ArtifactError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise PlanError(f"{path}: is not the codes of a plan: {error!r}") from error
    floats = {name for name, array in arrays.items() if array.dtype.kind == "f"}
    constants = {name.removesuffix(CONSTANT): arrays.pop(name) for name in sorted(floats)}
    return arrays, constants


def _tensor(data: NDArray[np.uint8], entry: Any) -> NDArray[Any]:
    kind, *shape = entry
    if kind not in _KINDS or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"expected an element type and a shape, found {entry!s:.80}")
    return np.frombuffer(data.tobytes(), f"<{kind}").reshape(shape)
