"""`QuantPlan`: the precision and the parameters of every quantized tensor, and its JSON form."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodels import Precision
from hwmodels.errors import HardwareError
from passes.errors import PlanError, UsageError
from passes.ir.codes import check_levels, check_points, checked_codes, codes_bytes
from passes.ir.constants import same_constants
from passes.numerics import IntFormat, PerChannel, PerGroup, PerTensor, QuantParams, QuantSpec, Rounding
from passes.numerics.levels import index_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.numerics import Granularity

SCHEMA_VERSION = 1


class Role(StrEnum):
    """What a quantized tensor is for."""

    WEIGHT = "weight"
    ACT = "act"


@dataclass(frozen=True, slots=True, eq=False)
class TensorQuant:
    """How one tensor is quantized. Compared and hashed by value.

    Attributes:
        role: what the tensor is for.
        spec: format, granularity and symmetry.
        params: ``None`` until scales have been assigned.
        codes: of a weight, integers in ONNX layout, where a pass has chosen them; ``None``: the nearest ones.
        points: of a weight whose output channels are sums of rows (`passes.artifact.points`), the rows of
            each; codes and parameters then have a row where others have a channel.
        levels: of a weight of 8 bits whose codes are few of them, ascending: it is stored as indices of this
            table, in as many bits as they need, and computed with as codes.
    """

    role: Role
    spec: QuantSpec
    params: QuantParams | None = None
    codes: NDArray[np.integer] | None = None
    points: tuple[int, ...] | None = None
    levels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check the codes and make them read-only.

        Raises:
            UsageError: there are codes without parameters, of an activation, or outside the format; or
                points or levels that do not fit the rest.
        """
        if self.codes is not None:
            object.__setattr__(self, "codes", checked_codes(self.codes, self.spec, self.params))
        if self.points is not None:
            check_points(self.points, self.spec, self.params, self.codes)
        if self.levels is not None:
            if self.role is not Role.WEIGHT or self.points is not None:
                raise UsageError("levels need a weight, and one without points")
            check_levels(self.levels, self.spec, self.params, self.codes)

    @property
    def stored_bits(self) -> int:
        """Bits of an element as stored: of a code, or of an index where there is a table."""
        return self.spec.format.bits if self.levels is None else index_bits(len(self.levels))

    def with_params(self, params: QuantParams) -> TensorQuant:
        """Return the same decision with these parameters and without codes, which were for others."""
        return replace(self, params=params, codes=None, points=None)

    def with_codes(
        self, params: QuantParams, codes: NDArray[np.integer], points: tuple[int, ...] | None = None
    ) -> TensorQuant:
        """Return the same decision with parameters and codes, and points if any."""
        return replace(self, params=params, codes=codes, points=points)

    def __eq__(self, other: object) -> bool:
        """Compare everything, codes by value."""
        if not isinstance(other, TensorQuant):
            return NotImplemented
        mine, theirs = ((it.role, it.spec, it.params, it.points, it.levels) for it in (self, other))
        same = mine == theirs
        if self.codes is None or other.codes is None:
            return same and self.codes is other.codes
        return same and np.array_equal(self.codes, other.codes)

    def __hash__(self) -> int:
        """Hash all but the codes."""
        return hash((self.role, self.spec, self.params))


@dataclass(frozen=True, slots=True)
class LayerBits:
    """Precision of one layer, with its operator for readers of the file, and the loss expected of it."""

    op: str
    precision: Precision
    loss: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class QuantPlan:
    """Decisions about a graph: bits per layer, specification and parameters per tensor. Compared by value.

    Attributes:
        layers: by layer name.
        tensors: by tensor name, weights and activations alike.
        biases: by layer name, where the model's own bias is replaced: float values, one per output channel.
        prepared: the passes that the graph must have gone through before the plan fits it, in text form.
        constants: values that data-dependent passes gave to constants of the prepared graph, by name.
    """

    layers: dict[str, LayerBits] = field(default_factory=dict)
    tensors: dict[str, TensorQuant] = field(default_factory=dict)
    biases: dict[str, tuple[float, ...]] = field(default_factory=dict)
    prepared: str = ""
    constants: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Compare everything, arrays by value."""
        if not isinstance(other, QuantPlan):
            return NotImplemented
        mine, theirs = ((it.layers, it.tensors, it.biases, it.prepared) for it in (self, other))
        return mine == theirs and same_constants(self.constants, other.constants)

    def __hash__(self) -> int:
        """Hash what is cheap to hash."""
        return hash((self.prepared, *self.layers))

    def to_json(self, model_sha256: str, target: str) -> dict[str, Any]:
        """Return the plan.json document."""
        layers = [
            {
                "name": name,
                "op": bits.op,
                "weight_bits": bits.precision.weight_bits,
                "act_bits": bits.precision.act_bits,
            }
            for name, bits in self.layers.items()
        ]
        tensors = {name: _tensor_to_json(quant) for name, quant in self.tensors.items()}
        arrays = codes_bytes(self.codes(), self.constants)
        digest = {"codes_sha256": hashlib.sha256(arrays).hexdigest()} if arrays else {}
        constants = {"constants": sorted(self.constants)} if self.constants else {}
        return {
            "schema_version": SCHEMA_VERSION,
            "model_sha256": model_sha256,
            "target": target,
            "prepared": self.prepared,
            "layers": layers,
            "tensors": tensors,
            "biases": {name: list(values) for name, values in self.biases.items()},
        } | (constants | digest)

    def codes(self) -> dict[str, NDArray[np.integer]]:
        """Return the codes that the plan holds, by tensor name."""
        return {name: quant.codes for name, quant in self.tensors.items() if quant.codes is not None}

    @classmethod
    def from_json(cls, document: dict[str, Any], model_sha256: str, where: str = "plan") -> QuantPlan:
        """Read a plan.json document.

        Args:
            document: parsed JSON.
            model_sha256: digest of the model that the plan is for.
            where: file name, for messages.

        Raises:
            PlanError: another schema or model, or an entry that makes no sense.
        """
        _check_document(document, model_sha256, where)
        try:
            layers = {
                entry["name"]: LayerBits(
                    entry["op"], Precision(int(entry["weight_bits"]), int(entry["act_bits"]))
                )
                for entry in document["layers"]
            }
            tensors = {name: _tensor_from_json(entry) for name, entry in document["tensors"].items()}
            biases = {name: _finite(values) for name, values in document.get("biases", {}).items()}
            prepared = str(document.get("prepared", ""))
        except (
            KeyError,
            TypeError,
            ValueError,
            OverflowError,
            AttributeError,
            UsageError,
            HardwareError,
        ) as error:
            raise PlanError(f"{where}: an entry of the plan is missing or malformed: {error!r}") from error
        return cls(layers, tensors, biases, prepared)


def _check_document(document: Any, model_sha256: str, where: str) -> None:
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise PlanError(f"{where}: expected a plan with schema_version {SCHEMA_VERSION}")
    found = document.get("model_sha256")
    if found != model_sha256:
        raise PlanError(
            f"{where}: the plan is for the model with sha256 {found}, this model has {model_sha256}"
        )


def _tensor_to_json(quant: TensorQuant) -> dict[str, Any]:
    spec, fmt = quant.spec, quant.spec.format
    entry: dict[str, Any] = {
        "role": quant.role.value,
        "bits": fmt.bits,
        "signed": fmt.signed,
        "narrow_range": fmt.narrow_range,
        "symmetric": spec.symmetric,
        "axis": None if isinstance(spec.granularity, PerTensor) else spec.granularity.axis,
    }
    entry |= {"group_size": spec.granularity.size} if isinstance(spec.granularity, PerGroup) else {}
    entry |= {"power_of_two": True} if spec.power_of_two else {}
    entry |= {"points": list(quant.points)} if quant.points is not None else {}
    entry |= {"levels": list(quant.levels)} if quant.levels is not None else {}
    return entry | (quant.params.to_json() if quant.params is not None else {})


def _finite(values: list[Any]) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if not all(math.isfinite(value) for value in found):
        raise ValueError("a bias is not finite")
    return found


def _tensor_from_json(entry: dict[str, Any]) -> TensorQuant:
    fmt = IntFormat(int(entry["bits"]), bool(entry["signed"]), bool(entry["narrow_range"]))
    power_of_two = bool(entry.get("power_of_two", False))
    spec = QuantSpec(fmt, _granularity(entry), bool(entry["symmetric"]), Rounding.HALF_EVEN, power_of_two)
    params = (
        QuantParams.from_json({key: entry[key] for key in ("scale", "zero_point")})
        if "scale" in entry
        else None
    )
    points, levels = (
        tuple(int(number) for number in entry[key]) if key in entry else None for key in ("points", "levels")
    )
    return TensorQuant(Role(entry["role"]), spec, params, points=points, levels=levels)


def _granularity(entry: dict[str, Any]) -> Granularity:
    axis, size = entry["axis"], entry.get("group_size")
    if size is not None:
        return PerGroup(int(axis), int(size))
    return PerTensor() if axis is None else PerChannel(int(axis))
