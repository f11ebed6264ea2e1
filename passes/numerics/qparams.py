"""Quantizers: what a tensor is quantized to (`QuantSpec`) and with which numbers (`QuantParams`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import DataError, PlanError, UsageError
from passes.numerics.formats import IntFormat
from passes.numerics.granularity import Granularity, PerTensor, parse_granularity
from passes.numerics.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MIN_SCALE = 2.0**-60
"""Least scale ever chosen: the product of two of them, a bias scale, is still a normal float32."""

_MAX_SCALE = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class QuantSpec:
    """The decision about one tensor, before any number is known.

    Attributes:
        format: the codes.
        granularity: which elements share a scale.
        symmetric: fix the zero point, at 0 for signed and at mid-range for unsigned formats.
        rounding: how ``x / scale`` becomes an integer; ONNX knows HALF_EVEN only.
        power_of_two: choose scales among the powers of two.
    """

    format: IntFormat
    granularity: Granularity = field(default_factory=PerTensor)
    symmetric: bool = True
    rounding: Rounding = Rounding.HALF_EVEN
    power_of_two: bool = False

    @property
    def scale_places(self) -> int:
        """Distance of the scales to choose from, in places of which short scales have eight to an octave."""
        return 8 if self.power_of_two else 1

    def to_json(self) -> dict[str, Any]:
        """Return strings and booleans only, in a fixed key order."""
        return {
            "format": str(self.format),
            "granularity": str(self.granularity),
            "symmetric": self.symmetric,
            "rounding": str(self.rounding),
            "power_of_two": self.power_of_two,
        }

    @classmethod
    def from_json(cls, data: Any) -> QuantSpec:
        """Read what `to_json` writes.

        Raises:
            PlanError: a key is missing, unknown or has a value that cannot be read.
        """
        keys, flags = {"format", "granularity", "rounding"}, {"symmetric", "power_of_two"}
        good = isinstance(data, dict) and data.keys() == keys | flags
        if not good or not all(isinstance(data[flag], bool) for flag in flags):
            raise PlanError(
                f"quantizer spec: expected {sorted(keys)}, booleans {sorted(flags)}, found {data!s:.200}"
            )
        try:
            return cls(
                IntFormat.parse(str(data["format"])),
                parse_granularity(str(data["granularity"])),
                data["symmetric"],
                Rounding(data["rounding"]),
                data["power_of_two"],
            )
        except (UsageError, ValueError) as error:
            raise PlanError(f"quantizer spec: {error}") from error


@dataclass(frozen=True, slots=True, eq=False)
class QuantParams:
    """The numbers of a quantizer: ``x = (q - zero_point) * scale``. Compared and hashed by value.

    Attributes:
        scale: float32, positive and finite, of the shape ``granularity.param_shape`` gives.
        zero_point: int32, of the same shape.

    Raises:
        UsageError: the shapes differ, or a scale is not positive and finite.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int32]

    def __post_init__(self) -> None:
        """Convert to the documented dtypes, check, and make both arrays read-only."""
        scale = np.array(self.scale, dtype=np.float32)
        zero_point = np.array(self.zero_point, dtype=np.int32)
        if scale.shape != zero_point.shape:
            raise UsageError(f"QuantParams: scale has shape {scale.shape} but zero_point {zero_point.shape}")
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise UsageError(
                f"QuantParams: every scale must be positive and finite, found {scale.min()}..{scale.max()}"
            )
        for name, value in (("scale", scale), ("zero_point", zero_point)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        """Compare shapes and values."""
        if not isinstance(other, QuantParams):
            return NotImplemented
        return np.array_equal(self.scale, other.scale) and np.array_equal(self.zero_point, other.zero_point)

    def __hash__(self) -> int:
        """Hash shapes and values."""
        return hash((self.scale.shape, self.scale.tobytes(), self.zero_point.tobytes()))

    def to_json(self) -> dict[str, Any]:
        """Return a number for each field when per tensor, else nested lists; exact."""
        return {"scale": self.scale.tolist(), "zero_point": self.zero_point.tolist()}

    @classmethod
    def from_json(cls, data: Any) -> QuantParams:
        """Read what `to_json` writes.

        Raises:
            PlanError: a key is missing or unknown, or the numbers are not those of a quantizer.
        """
        if not isinstance(data, dict) or data.keys() != {"scale", "zero_point"}:
            raise PlanError(
                f"quantizer params: expected an object with scale and zero_point, found {data!s:.200}"
            )
        scale = _json_array(data["scale"], "scale", "fi", float(np.finfo(np.float32).max))
        zero_point = _json_array(data["zero_point"], "zero_point", "i", float(np.iinfo(np.int32).max))
        try:
            return cls(scale, zero_point)
        except UsageError as error:
            raise PlanError(f"quantizer params: {error}") from error


def params_from_range(lo: ArrayLike, hi: ArrayLike, spec: QuantSpec) -> QuantParams:
    """Choose scale and zero point so that ``[lo, hi]``, widened to hold 0, is covered.

    Asymmetric: ``scale = (hi - lo) / (qmax - qmin)``, ``zero_point = round(qmin - lo / scale)``. Symmetric:
    the least scale that covers both ends from the fixed zero point. A range of zeros gets scale 1, any other
    at least `MIN_SCALE`.

    Args:
        lo: lower ends, of the parameter shape.
        hi: upper ends, of the same shape.
        spec: the quantizer; only its format and symmetry are used.

    Raises:
        DataError: an end is not finite or ``lo > hi``.
    """
    low, high = np.asarray(lo, dtype=np.float64), np.asarray(hi, dtype=np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all()):
        raise DataError(
            "quantizer range: expected finite lo <= hi; look for NaN and Inf in the model and its data"
        )
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    qmin, qmax = spec.format.qmin, spec.format.qmax
    if not spec.symmetric:
        scale = _storable((high - low) / (qmax - qmin))
        zero_point = np.clip(np.rint(qmin - low / scale), qmin, qmax)
        return QuantParams(scale, zero_point.astype(np.int32))
    zero = 0 if spec.format.signed else (qmax + 1) // 2
    # One bit leaves no code above its zero point; the upper end is then covered by magnitude alone.
    scale = _storable(np.maximum(low / (qmin - zero), high / max(qmax - zero, 1)))
    return QuantParams(scale, np.full(scale.shape, zero, dtype=np.int32))


def _storable(scale: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to positive, finite and normal float32."""
    bounded = np.clip(scale, MIN_SCALE, _MAX_SCALE)
    return np.where(scale == 0.0, 1.0, bounded).astype(np.float32)


def _json_array(value: Any, name: str, kinds: str, limit: float) -> NDArray[Any]:
    """Turn numbers from JSON into an array of one of the numpy dtype ``kinds``, none beyond ``limit``."""
    try:
        array = np.array(value)
    except ValueError as error:
        raise PlanError(f"quantizer params: {name} is a ragged list") from error
    if array.dtype.kind not in kinds or not ((array >= -limit) & (array <= limit)).all():
        raise PlanError(
            f"quantizer params: {name} must hold numbers of at most {limit:g}, found {value!s:.80}"
        )
    return array
