"""AIMET encodings, versions 0.6.1 and 1.0.0, as JSON.

A code there is unsigned, ``x = (q + offset) * scale`` with ``q`` from 0 to ``2**bits - 1``: the offset of a
signed symmetric format of b bits is ``-2**(b - 1)``, that of an unsigned one is minus its zero point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passes.errors import PlanError
from passes.interchange.encodings import MAX_NAME, Encoding, Format, encoding, flat
from passes.ir.plan import Role
from passes.numerics import PerChannel, PerGroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from passes.ir.plan import TensorQuant

LEGACY, CURRENT = "0.6.1", "1.0.0"
SECTIONS = ("activation_encodings", "param_encodings")
_BIAS_BITS = 32


def to_aimet(tensors: Mapping[str, TensorQuant], kind: Format) -> dict[str, Any]:
    """Return the document for tensors of a plan.

    Args:
        tensors: with parameters.
        kind: AIMET or AIMET_LEGACY.

    Raises:
        PlanError: scales of groups or points, or codes that leave out the lowest of activations.
    """
    write = _legacy_entry if kind is Format.AIMET_LEGACY else _entry
    parts: dict[str, list[tuple[str, Any]]] = {section: [] for section in SECTIONS}
    for name, quant in tensors.items():
        section = SECTIONS[quant.role is Role.WEIGHT]
        parts[section].append((name, write(name, quant)))
    if kind is Format.AIMET_LEGACY:
        return {"version": LEGACY} | {section: dict(rows) for section, rows in parts.items()}
    return {"version": CURRENT} | {section: [row for _, row in rows] for section, rows in parts.items()}


def _offsets(name: str, quant: TensorQuant) -> tuple[list[float], list[int]]:
    scale, zero = flat(quant, name)
    fmt = quant.spec.format
    if isinstance(quant.spec.granularity, PerGroup) or (fmt.narrow_range and quant.role is Role.ACT):
        raise PlanError(
            f"tensor {name[:MAX_NAME]!r}: AIMET encodings of groups or narrow ranges are not written"
        )
    lowest = -(1 << fmt.bits - 1) if fmt.signed else 0
    return scale, [lowest - value for value in zero]


def _entry(name: str, quant: TensorQuant) -> dict[str, Any]:
    scale, offset = _offsets(name, quant)
    by_channel = isinstance(quant.spec.granularity, PerChannel)
    return {
        "name": name,
        "dtype": "INT",
        "enc_type": "PER_CHANNEL" if by_channel else "PER_TENSOR",
        "is_sym": _symmetric(quant),
        "bw": quant.spec.format.bits,
        "scale": scale,
        "offset": offset,
    }


def _legacy_entry(name: str, quant: TensorQuant) -> list[dict[str, Any]]:
    bits, top = quant.spec.format.bits, (1 << quant.spec.format.bits) - 1
    return [
        {
            "bitwidth": bits,
            "dtype": "int",
            "is_symmetric": str(_symmetric(quant)),
            "max": scale * (top + offset),
            "min": scale * offset,
            "offset": offset,
            "scale": scale,
        }
        for scale, offset in zip(*_offsets(name, quant), strict=True)
    ]


def _symmetric(quant: TensorQuant) -> bool:
    return quant.spec.format.signed and not quant.params.zero_point.any()  # type: ignore[union-attr]


def from_aimet(document: Any, where: str) -> dict[str, Encoding]:
    """Read a document of either version.

    Tensors in floating point and biases of 32 bits are left out.

    Raises:
        PlanError: another version, blocks, or an entry that makes no sense.
    """
    if not isinstance(document, dict) or document.get("version") not in (LEGACY, CURRENT):
        found = document.get("version") if isinstance(document, dict) else document
        raise PlanError(
            f"{where}: expected AIMET encodings of version {LEGACY} or {CURRENT}, found {found!s:.40}"
        )
    found = {}
    for section in SECTIONS:
        for name, entry in _entries(document.get(section, []), f"{where}: {section}"):
            read = _read(entry, f"{where}: {section}: {name[:MAX_NAME]!r}")
            if read is not None:
                found[name] = read
    return found


def _entries(section: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and entry in the form of version 1.0.0."""
    if isinstance(section, dict):
        for name, rows in section.items():
            if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
                raise PlanError(f"{where}: {name[:MAX_NAME]!r}: expected a list of objects")
            yield name, _joined(rows, f"{where}: {name[:MAX_NAME]!r}")
    elif isinstance(section, list):
        for index, row in enumerate(section):
            if not isinstance(row, dict) or not isinstance(row.get("name"), str):
                raise PlanError(f"{where}[{index}]: expected an object with a name")
            yield row["name"], row
    else:
        raise PlanError(f"{where}: expected a list or an object")


def _joined(rows: list[dict[str, Any]], where: str) -> dict[str, Any]:
    first = rows[0]
    alike = ("bitwidth", "dtype", "is_symmetric")
    if any(row.get(key) != first.get(key) for row in rows for key in alike):
        raise PlanError(f"{where}: channels of different bits; expected one width for a tensor")
    return {
        "dtype": str(first.get("dtype", "int")).upper(),
        "enc_type": "PER_CHANNEL" if len(rows) > 1 else "PER_TENSOR",
        "is_sym": str(first.get("is_symmetric")).lower() == "true",
        "bw": first.get("bitwidth"),
        "scale": [row.get("scale") for row in rows],
        "offset": [row.get("offset") for row in rows],
    }


def _read(entry: dict[str, Any], where: str) -> Encoding | None:
    kind, bits = entry.get("enc_type", "PER_TENSOR"), entry.get("bw")
    if str(entry.get("dtype", "INT")).upper() != "INT" or bits == _BIAS_BITS:
        return None
    if kind not in ("PER_TENSOR", "PER_CHANNEL"):
        raise PlanError(f"{where}: expected enc_type PER_TENSOR or PER_CHANNEL, found {kind!s:.40}")
    scale, offset = entry.get("scale"), entry.get("offset")
    if not isinstance(scale, list) or not isinstance(offset, list) or not isinstance(bits, int):
        raise PlanError(f"{where}: expected bw, a list of scales and a list of offsets")
    middle = 1 << max(min(bits, 16) - 1, 0)
    signed = bool(entry.get("is_sym")) and all(value == -middle for value in offset)
    zero = [0] * len(offset) if signed else [_negated(value, where) for value in offset]
    read = encoding(bits, signed, scale, zero, where)
    return Encoding(read.format, read.scale, read.zero, None, kind == "PER_CHANNEL")


def _negated(value: Any, where: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PlanError(f"{where}: expected offsets that are numbers, found {value!s:.40}")
    return -value
