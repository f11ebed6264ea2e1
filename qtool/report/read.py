"""Reads documents of the tool back into the dataclasses that they were written from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from passes.errors import ReportError

MAX_BYTES = 1 << 26
"""Largest document that is read: 64 MiB."""

Document = TypeVar("Document")


def read_document(kind: type[Document], path: Path) -> Document:
    """Read a JSON file into a dataclass; keys that it does not know are left alone.

    Args:
        kind: a dataclass whose fields are numbers, texts, dataclasses, and tuples and mappings of these.
        path: the file.

    Raises:
        ReportError: the file is missing, too large, not JSON, or a field is missing or of the wrong type.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ReportError(f"{path}: expected at most {MAX_BYTES} bytes, found {size}")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(f"{path}: cannot be read as a report: {error}") from error
    return from_json(kind, document, str(path))


def from_json(kind: type[Document], document: object, where: str) -> Document:
    """Return a dataclass with the values of a JSON object; `where` names its place in messages.

    Raises:
        ReportError: a field is missing or of the wrong type; the message names it.
    """
    if not isinstance(document, dict):
        raise _refused(where, "an object", document)
    hints = get_type_hints(kind)
    values = {
        field.name: _value(hints[field.name], document[field.name], f"{where}: {field.name}")
        for field in fields(kind)  # type: ignore[arg-type]
        if field.name in document or _needed(field, where)
    }
    return kind(**values)


def _needed(field: Field[Any], where: str) -> bool:
    """Refuse a document without a field that has no default."""
    if field.default is MISSING and field.default_factory is MISSING:
        raise ReportError(f"{where}: expected {field.name!r}; write the folder again with this version")
    return False


def _value(kind: Any, value: object, where: str) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        return from_json(kind, value, where)
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if value is None else _value(parts[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _refused(where, "an array", value)
        return tuple(_value(parts[0], item, f"{where}[{at}]") for at, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _refused(where, "an object", value)
        return {key: _value(parts[1], item, f"{where}.{key}") for key, item in value.items()}
    return _plain(kind, value, where)


def _plain(kind: type, value: object, where: str) -> Any:
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
            raise _refused(where, "a finite number", value)
        # A count stays whole, so that a document that is read and written again is the same.
        return value
    surrogates = isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value)
    # Half of a pair cannot be written to any file.
    if surrogates or not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _refused(where, {int: "a whole number", str: "a text", bool: "true or false"}[kind], value)
    return value


def _refused(where: str, expected: str, found: object) -> ReportError:
    text = repr(found)
    return ReportError(
        f"{where}: expected {expected}, found {text if len(text) <= 60 else text[:57] + '...'}"
    )
