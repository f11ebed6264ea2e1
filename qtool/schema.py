"""JSON schemas of documents, out of the dataclasses and typed dictionaries that describe them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}

Schema = dict[str, Any]


def json_schema(kind: type, *, closed: bool = False) -> Schema:
    """Return the schema of a document.

    Args:
        kind: a dataclass or typed dictionary, of plain values, literals, sequences, mappings and such types.
        closed: whether keys that the type does not name are errors, as they are in files that people write.

    Raises:
        TypeError: a type that no document has.
    """
    known: dict[str, Schema] = {}
    root = _refer(kind, known, closed)
    own = known.pop(kind.__name__)
    return {"$schema": DIALECT, "title": kind.__name__} | own | ({"$defs": known} if root and known else {})


def _schema(kind: Any, known: dict[str, Schema], closed: bool) -> Schema:
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(part, known, closed) for part in parts]}
    if origin is Literal:
        return {"enum": [*parts]}
    if origin in (list, tuple):
        return {"type": "array", "items": _schema(parts[0], known, closed)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(parts[1], known, closed)}
    if not (is_dataclass(kind) or is_typeddict(kind)):
        raise TypeError(f"no document has values of type {kind!r}")
    return _refer(kind, known, closed)


def _refer(kind: type, known: dict[str, Schema], closed: bool) -> Schema:
    """Describe a type once, and return a reference to it."""
    name = kind.__name__
    if name not in known:
        known[name] = {}
        known[name] = _object(kind, known, closed)
    return {"$ref": f"#/$defs/{name}"}


def _object(kind: type, known: dict[str, Schema], closed: bool) -> Schema:
    hints = get_type_hints(kind, include_extras=True)
    optional = {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
    defaults: dict[str, Any] = {}
    if is_dataclass(kind):
        # Values that are no fields of the class, such as constants, are in no document.
        hints = {field.name: hints[field.name] for field in fields(kind)}
        made = {field.name for field in fields(kind) if field.default_factory is not MISSING}
        defaults = {field.name: field.default for field in fields(kind) if field.default is not MISSING}
        optional = {*defaults, *made}
    says, members = _explained(kind)
    properties = {
        name: ({"description": members[name]} if name in members else {})
        | _schema(get_args(hint)[0] if get_origin(hint) is NotRequired else hint, known, closed)
        | ({"default": defaults[name]} if isinstance(defaults.get(name), str | int | float) else {})
        for name, hint in hints.items()
    }
    required = [name for name in hints if name not in optional]
    schema: Schema = {"description": says, "type": "object", "properties": properties, "required": required}
    return schema | ({"additionalProperties": False} if closed else {})


def _explained(kind: type) -> tuple[str, dict[str, str]]:
    """Return the first paragraph of a docstring, and what it and its bases say of attributes."""
    members: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")[2].split("\n\n")[0]
        for names, words in re.findall(r"^    (\w[\w, ]*): ((?:.|\n(?!    \w))+)", text, re.MULTILINE):
            members |= dict.fromkeys(names.split(", "), " ".join(words.split()))
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split()), members
