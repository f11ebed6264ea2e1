"""Table ``[lookup]`` of a machine file, and the measurements that it leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels.errors import SpecError
from hwmodels.fields import spec_error
from hwmodels.machines.lookup_csv import parse_csv
from hwmodels.machines.lookup_files import read_beside
from hwmodels.machines.lookup_npy import parse_npy
from hwmodels.spec import MAX_NUMBER, MIN_NUMBER

if TYPE_CHECKING:
    from hwmodels.arrays import Floats
    from hwmodels.machines.lookup_csv import Entries
    from hwmodels.spec import HardwareSpec
    from hwmodels.types import Precision


@dataclass(frozen=True, slots=True)
class Lookup:
    """Table ``[lookup]``: which file, and how it is read.

    Attributes:
        table: a ``.csv`` or ``.npy`` file, relative to the machine file and not outside its folder.
        by: ``"name"`` of the layer, or ``"shape"``.
        source: where the measurements come from.
        layers: names of the layers along the first axis of an ``.npy`` file.
        unit: of the numbers in an ``.npy`` file, ``"s"`` or ``"cycles"``.
        clock_hz: turns cycles into seconds; needed for these alone.
    """

    table: str
    by: str
    source: str
    layers: tuple[str, ...] = ()
    unit: str = "s"
    clock_hz: float = 0.0


def read_entries(spec: HardwareSpec, lookup: Lookup, pairs: tuple[Precision, ...], where: str) -> Entries:
    """Read the measurements.

    Args:
        spec: the machine file.
        lookup: its table ``[lookup]``.
        pairs: the supported pairs; an array may have more.
        where: machine file and table, for messages.

    Raises:
        SpecError: the table cannot be read, or something in it is missing or wrong.
    """
    if lookup.by not in ("name", "shape"):
        raise spec_error(spec.file, "[lookup] by", "name or shape", repr(lookup.by[:60]))
    if lookup.table.endswith(".csv"):
        return parse_csv(read_beside(spec.file, lookup.table), where, lookup.by)
    if not lookup.table.endswith(".npy") or lookup.by != "name":
        expected = "a .csv file, or an .npy file that is read by name"
        raise spec_error(spec.file, "[lookup] table", expected, f"{lookup.table[:80]!r} by {lookup.by}")
    unit_s = _seconds_per_unit(spec, lookup)
    numbers = parse_npy(read_beside(spec.file, lookup.table), where)
    return _named(numbers * unit_s, lookup.layers, pairs, where)


def _seconds_per_unit(spec: HardwareSpec, lookup: Lookup) -> float:
    if lookup.unit not in ("s", "cycles"):
        raise spec_error(spec.file, "[lookup] unit", "s or cycles", repr(lookup.unit[:60]))
    if (lookup.unit == "cycles") != (lookup.clock_hz > 0):
        raise spec_error(
            spec.file, "[lookup] clock_hz", "a clock for cycles and none for seconds", lookup.unit
        )
    return 1 / lookup.clock_hz if lookup.clock_hz else 1.0


def _named(seconds: Floats, names: tuple[str, ...], pairs: tuple[Precision, ...], where: str) -> Entries:
    """Take the supported pairs out of an array of [layer][weight bits - 1][activation bits - 1]."""
    weight, act = (max(bits) for bits in zip(*((it.weight_bits, it.act_bits) for it in pairs), strict=True))
    if seconds.ndim != 3 or seconds.shape[1] < weight or seconds.shape[2] < act:
        expected = f"axes layer, at least {weight} and at least {act} bits"
        raise SpecError(f"{where}: expected {expected}, found the shape {seconds.shape}")
    if len(set(names)) != len(names) or len(names) != len(seconds):
        expected = f"[lookup] layers to name its {len(seconds)} layers, each once"
        raise SpecError(f"{where}: expected {expected}, found {len(names)} names")
    entries: Entries = {}
    for name, table in zip(names, seconds, strict=True):
        for pair in pairs:
            value = float(table[pair.weight_bits - 1, pair.act_bits - 1])
            if not MIN_NUMBER <= value <= MAX_NUMBER:
                raise SpecError(f"{where}: {name!r} at {pair}: expected a positive number, found {value}")
            entries.setdefault(name, {})[pair] = (value,)
    return entries
