"""Turns one table of a machine file into a dataclass with the same keys, and refuses all others."""

from __future__ import annotations

from dataclasses import MISSING, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar, get_type_hints

from hwmodels.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Table = TypeVar("Table")


def fill(file: str, name: str, table: Mapping[str, object], kind: type[Table]) -> Table:
    """Build a dataclass out of a table whose keys are its fields; those with a default may be left out.

    Args:
        file: the machine file, for messages.
        name: the table, for messages.
        table: what the file says.
        kind: a dataclass with fields of the types bool, int, float, str or tuples of the last three.

    Raises:
        SpecError: a key is unknown or missing, or a value has the wrong type.
    """
    types = get_type_hints(kind)
    for key in sorted(table.keys() - types.keys()):
        near = get_close_matches(key, types, n=1, cutoff=0.5)
        found = f"an unknown key; did you mean {near[0]}?" if near else "an unknown key"
        raise spec_error(file, f"[{name}] {key[:60]}", f"only the keys {', '.join(types)}", found)
    needed = {field.name for field in fields(kind) if field.default is MISSING}  # type: ignore[arg-type]
    for key in sorted(needed - table.keys()):
        raise spec_error(file, f"[{name}] {key}", "this key", "nothing")
    return kind(
        **{key: _value(file, f"[{name}] {key}", table[key], types[key]) for key in types if key in table}
    )


def _value(file: str, where: str, value: object, wanted: object) -> object:
    expected, fits, convert = _KINDS[wanted]
    if not fits(value):
        raise spec_error(file, where, expected, shown(value))
    return convert(value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: object) -> bool:
    return _is_int(value) or isinstance(value, float)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_list(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and all(fits(item) for item in value)


_KINDS: dict[object, tuple[str, Callable[[object], bool], Callable[..., object]]] = {
    int: ("a whole number", _is_int, int),
    bool: ("true or false", lambda value: isinstance(value, bool), bool),
    float: ("a number", _is_float, float),
    str: ("text that is not empty", _is_text, str),
    tuple[int, ...]: ("a list of whole numbers", lambda value: _is_list(value, _is_int), tuple),
    tuple[float, ...]: ("a list of numbers", lambda value: _is_list(value, _is_float), tuple),
    tuple[str, ...]: ("a list of texts", lambda value: _is_list(value, _is_text), tuple),
}


def shown(value: object) -> str:
    """Print a value of a hostile file, cut short; `repr` refuses integers of thousands of digits."""
    if isinstance(value, dict):
        return "a table"
    try:
        return repr(value)[:60]
    except ValueError:
        return "a very long number"


def spec_error(file: str, where: str, expected: str, found: str) -> SpecError:
    """Build the error for one place of a machine file."""
    return SpecError(f"{file}: {where}: expected {expected}, found {found}")
