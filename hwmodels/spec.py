"""Reads a machine file (TOML) and checks every key of it; the architecture says which tables it expects.

A table is declared as a frozen dataclass: its fields are the keys, as the file spells them, with their types.
Keys of quantities end with their unit, and every table with numbers says where they come from in ``source``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hwmodels.errors import SpecError
from hwmodels.fields import fill, shown, spec_error

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from importlib.resources.abc import Traversable

Table = TypeVar("Table")

MAX_FILE_BYTES = 1_000_000
MIN_NUMBER, MAX_NUMBER = 1e-18, 1e18

UNITS = (
    *("_hz", "_s", "_cycles", "_per_cycle", "_per_s"),
    *("_j", "_w", "_pj", "_pj_per_bit", "_pj_per_mac", "_pj_per_cycle"),
    *("_bits", "_bytes"),
)
DIMENSIONLESS = frozenset({"rows", "columns", "resident_rows"})


@dataclass(frozen=True, slots=True)
class Machine:
    """The table that every machine file begins with; ``architecture`` selects the class that prices it."""

    name: str
    architecture: str
    description: str
    checked: str = ""
    """Against which published or measured numbers the machine was checked, and how far off it was."""


@dataclass(frozen=True, slots=True)
class HardwareSpec:
    """A machine file whose syntax, units, numbers and sources are in order."""

    file: str
    machine: Machine
    tables: Mapping[str, Mapping[str, object]]

    def expect(self, names: Collection[str]) -> None:
        """Refuse tables that the architecture does not know.

        Raises:
            SpecError: a table is not among ``names``.
        """
        for name in sorted(self.tables.keys() - set(names)):
            expected = f"only {', '.join(sorted(names))} for architecture {self.machine.architecture!r}"
            raise spec_error(self.file, f"[{name}]", expected, "this table")

    def table(self, name: str, kind: type[Table]) -> Table:
        """Read a table that must be there into its dataclass.

        Raises:
            SpecError: the table or a key is missing, a key is unknown, or a value has the wrong type.
        """
        if name not in self.tables:
            raise spec_error(self.file, f"[{name}]", "this table", "nothing")
        return fill(self.file, name, self.tables[name], kind)

    def optional(self, name: str, kind: type[Table]) -> Table | None:
        """Read a table as `table` does, or return ``None`` where the file leaves it out."""
        return self.table(name, kind) if name in self.tables else None


def read_spec(path: Path | Traversable) -> HardwareSpec:
    """Read a machine file.

    Args:
        path: a TOML file of at most `MAX_FILE_BYTES`.

    Raises:
        SpecError: the file cannot be read, is not TOML, or breaks a rule of the module's first paragraph.
    """
    file = str(path)
    tables: dict[str, Mapping[str, object]] = {}
    for name, table in _parse(file, _read(path)).items():
        if not isinstance(table, dict):
            raise spec_error(file, name, "only tables at the top of the file", shown(table))
        tables[name] = table
        _check_numbers(file, name, table)
    machine = tables.pop("machine", None)
    if machine is None:
        raise spec_error(file, "[machine]", "this table", "nothing")
    return HardwareSpec(file, fill(file, "machine", machine, Machine), tables)


def _read(path: Path | Traversable) -> bytes:
    try:
        # A pipe or a device would block or never end.
        if not path.is_file():
            raise SpecError(f"{path}: expected a TOML file, found none; check the path")
        with path.open("rb") as stream:
            data: bytes = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: cannot be read: {error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise SpecError(f"{path}: expected at most {MAX_FILE_BYTES} bytes, found more")
    return data


def _parse(file: str, data: bytes) -> dict[str, object]:
    """Parse TOML; RecursionError is what thousands of nested brackets end in."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{file}: expected TOML in UTF-8 with every key once: {str(error)[:200]}") from error


def _check_numbers(file: str, table_name: str, table: Mapping[str, object]) -> None:
    """Check the unit and the range of every number, and that the table names its source."""
    numeric = {key: value for key, value in table.items() if _numbers(value)}
    for key, value in numeric.items():
        where = f"[{table_name}] {key}"
        if key not in DIMENSIONLESS and not key.endswith(UNITS):
            raise spec_error(
                file, where, f"a key that ends with its unit ({', '.join(UNITS)})", "a missing unit"
            )
        # Written so that NaN fails too.
        if not all(MIN_NUMBER <= number <= MAX_NUMBER for number in _numbers(value)):
            raise spec_error(file, where, f"a number from {MIN_NUMBER:g} to {MAX_NUMBER:g}", shown(value))
    if numeric and not table.get("source"):
        raise spec_error(file, f"[{table_name}] source", "where the numbers come from", "nothing")


def _numbers(value: object) -> list[int | float]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, int | float) and not isinstance(item, bool)]
