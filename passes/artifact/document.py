"""The graph of an artifact as a JSON document, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.artifact.constants import ConstantReader, ConstantWriter
from passes.artifact.fields import Fields
from passes.artifact.points import points_from_json, points_to_json
from passes.artifact.runs import runs_from_json, runs_to_json
from passes.artifact.step import Step
from passes.artifact.tensor import INDEX_BITS, MAX_ELEMENTS, TensorInfo
from passes.artifact.weight import PackedWeight, WeightLayout
from passes.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.artifact.step import Attr

_WEIGHTS = ("weight", "hidden_weight")


def tensor_to_json(tensor: TensorInfo) -> dict[str, Any]:
    """Return the JSON object of one tensor; a float32 tensor has ``bits`` null and no parameters."""
    entry: dict[str, Any] = {"name": tensor.name, "shape": list(tensor.shape), "bits": tensor.bits}
    if not tensor.is_float:
        entry |= {"signed": tensor.signed, "scale": tensor.scale, "zero_point": tensor.zero_point}
    return entry


def tensor_from_json(value: object) -> TensorInfo:
    """Read what `tensor_to_json` wrote; raises `ArtifactError` for anything else."""
    fields = Fields(value, "a tensor")
    name = fields.text("name")
    fields.where = f"tensor {name[:80]!r}"
    shape = tuple(_extent(item, fields.where) for item in fields.items("shape"))
    bits = fields.optional_integer("bits", 1, INDEX_BITS)
    if bits is None:
        tensor = TensorInfo(name, shape)
    else:
        signed, scale = fields.flag("signed"), _float32(fields)
        tensor = TensorInfo(
            name, shape, bits, signed, scale, fields.integer("zero_point", -(1 << 16), 1 << 16)
        )
    fields.done()
    return tensor


def _extent(value: object, where: str) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= MAX_ELEMENTS:
        raise ArtifactError(
            f"{where}: an extent must be null or in 0..{MAX_ELEMENTS}, found {str(value)[:80]!r}"
        )
    return value


def _float32(fields: Fields) -> float:
    value = fields.number("scale")
    with np.errstate(over="ignore", under="ignore"):
        exact = float(np.float32(value))
    if exact != value:
        raise ArtifactError(f"{fields.where}: scale {value!r} is not a float32 value")
    return value


def step_to_json(step: Step, weight_keys: Sequence[str], constants: ConstantWriter) -> dict[str, Any]:
    """Return the JSON object of one step; its vectors go to the pool, `weight_keys` name its weights."""
    entry: dict[str, Any] = {
        "op": step.op,
        "name": step.name,
        "inputs": list(step.inputs),
        "output": step.output,
    }
    entry["attrs"] = step.attrs
    for field, weight, key in zip(_WEIGHTS, step.weights, weight_keys, strict=False):
        entry[field] = _weight_to_json(weight, key, constants)
    for key, vector in (("bias", step.bias), ("table", step.table)):
        if vector is not None:
            entry[key] = constants.add(vector)
    bounds = {"lo": step.lo, "hi": step.hi}
    return entry | {key: bound for key, bound in bounds.items() if bound is not None}


def step_from_json(value: object, weights: dict[str, NDArray[np.uint8]], constants: ConstantReader) -> Step:
    """Read what `step_to_json` wrote, taking its weight from `weights`; raises `ArtifactError` otherwise."""
    fields = Fields(value, "a step")
    op, name = fields.text("op"), fields.text("name")
    fields.where = f"step {name[:80]!r}"
    step = Step(
        op,
        name,
        fields.texts("inputs"),
        fields.text("output"),
        _attrs(fields),
        _optional_weight(fields, "weight", weights, constants),
        hidden_weight=_optional_weight(fields, "hidden_weight", weights, constants),
        bias=_vector(fields, "bias", constants),
        lo=fields.optional_integer("lo", -(1 << 16), 1 << 16),
        hi=fields.optional_integer("hi", -(1 << 16), 1 << 16),
        table=_vector(fields, "table", constants),
    )
    fields.done()
    return step


def _vector(fields: Fields, key: str, constants: ConstantReader) -> NDArray[np.int64] | None:
    return constants.read(fields.child(key)) if fields.has(key) else None


def _attrs(fields: Fields) -> dict[str, Attr]:
    attrs = fields.take("attrs")
    if not isinstance(attrs, dict):
        raise ArtifactError(f"{fields.where}: attrs must be an object, found {str(attrs)[:80]!r}")
    return attrs


def _weight_to_json(weight: PackedWeight, key: str, constants: ConstantWriter) -> dict[str, Any]:
    entry = {
        "tensor": key,
        "name": weight.name,
        "layout": str(weight.layout),
        "bits": weight.bits,
        "signed": weight.signed,
        "shape": list(weight.shape),
        "scale": constants.add_scales(weight.scale),
        "zero_point": constants.add(weight.zero_point),
    }
    if weight.points is not None:
        entry["points"] = points_to_json(weight.points, constants)
    if weight.levels is not None:
        entry["levels"] = constants.add(np.array(weight.levels, np.int64))
    return entry if weight.runs is None else entry | {"runs": runs_to_json(weight.runs, constants)}


def _optional_weight(
    fields: Fields, field: str, weights: dict[str, NDArray[np.uint8]], constants: ConstantReader
) -> PackedWeight | None:
    return _weight_from_json(fields.child(field), weights, constants) if fields.has(field) else None


def _weight_from_json(
    fields: Fields, weights: dict[str, NDArray[np.uint8]], constants: ConstantReader
) -> PackedWeight:
    key, layout = fields.text("tensor"), fields.text("layout")
    if key not in weights or layout not in list(WeightLayout):
        raise ArtifactError(
            f"{fields.where}: no tensor {key[:80]!r} left in the file, or unknown layout {layout[:80]!r}"
        )
    shape = fields.items("shape")
    weight = PackedWeight(
        fields.text("name"),
        weights.pop(key),
        WeightLayout(layout),
        fields.integer("bits", 1, 16),
        fields.flag("signed"),
        tuple(_known(item, fields.where) for item in shape),
        constants.read_scales(fields.child("scale")),
        constants.read(fields.child("zero_point")),
        runs_from_json(fields.child("runs"), constants) if fields.has("runs") else None,
        points_from_json(fields.child("points"), constants) if fields.has("points") else None,
        _levels(fields, constants),
    )
    fields.done()
    return weight


def _levels(fields: Fields, constants: ConstantReader) -> tuple[int, ...] | None:
    levels = _vector(fields, "levels", constants)
    return None if levels is None else tuple(levels.tolist())


def _known(value: object, where: str) -> int:
    extent = _extent(value, where)
    if extent is None:
        raise ArtifactError(f"{where}: the shape of a weight has no unknown extent")
    return extent
