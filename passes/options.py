"""Options of a pass: its dataclass fields, as words of a pipeline text.

A field ``max_bits: int`` is the option ``max-bits=8``. Kinds: bool, int, float, str, any StrEnum,
``X | None`` (the word ``none``) and ``tuple[X, ...]`` (words between commas; ``()`` for the empty one).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from passes.errors import PassContractError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.api import Pass

BARE_WORD = re.compile(r'[^\s,={}"]+')
NONE, EMPTY = "none", "()"
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a class of passes.

    Attributes:
        key: kebab-case, as it is written.
        field: the dataclass field.
        kind: type of the field.
        default: `dataclasses.MISSING` when the option must be given.
    """

    key: str
    field: str
    kind: Any
    default: Any


def options_of(pass_class: type[Pass]) -> dict[str, Option]:
    """Return the options of a class of passes by key, in the order of its fields.

    Raises:
        PassContractError: the type of a field is not known at run time.
    """
    try:
        hints = get_type_hints(pass_class)
    except NameError as error:
        raise PassContractError(
            f"{pass_class.__qualname__}: {error}; types of options must be imported at run time"
        ) from error
    found = {}
    for entry in fields(pass_class):
        if entry.init:
            default = entry.default if entry.default_factory is MISSING else entry.default_factory()
            key = entry.name.replace("_", "-")
            found[key] = Option(key, entry.name, hints[entry.name], default)
    return found


def read_option(kind: Any, words: Sequence[str]) -> Any:
    """Turn the words after an option's ``=`` into its value; no words at all set a flag.

    Raises:
        ValueError: the words do not fit; the message says what was expected.
    """
    if get_origin(kind) in (Union, UnionType):
        if list(words) == [NONE]:
            return None
        return read_option(_inner(kind), words)
    if get_origin(kind) is tuple:
        if not words:
            raise ValueError(expectation(kind))
        return () if list(words) == [EMPTY] else tuple(_read_word(get_args(kind)[0], word) for word in words)
    if kind is bool and not words:
        return True
    if len(words) != 1:
        raise ValueError(f"a single value ({expectation(kind)})")
    return _read_word(kind, words[0])


def write_option(value: Any) -> str:
    """Return the text after an option's ``=``, which `read_option` turns back into the value."""
    if value is None:
        return NONE
    if isinstance(value, tuple):
        return ",".join(write_option(item) for item in value) or EMPTY
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        bare = BARE_WORD.fullmatch(value) and value not in (NONE, EMPTY)
        return str(value) if bare else json.dumps(str(value))
    return repr(value)


def expectation(kind: Any) -> str:
    """Say in words what an option of this kind takes."""
    if get_origin(kind) in (Union, UnionType):
        return f"{expectation(_inner(kind))}, or none"
    if get_origin(kind) is tuple:
        return f"{expectation(get_args(kind)[0])}, or several separated by commas"
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return f"one of {', '.join(kind)}"
    return {bool: "true or false", int: "an integer", float: "a number", str: "a word"}.get(kind, str(kind))


def _inner(kind: Any) -> Any:
    """Return X of ``X | None``."""
    inner = [argument for argument in get_args(kind) if argument is not NoneType]
    if len(inner) != 1:
        raise PassContractError(f"options of type {kind} have no text form; use one type, or one and None")
    return inner[0]


def _read_word(kind: Any, word: str) -> Any:
    try:
        text = json.loads(word) if word.startswith('"') else word
        value = _BOOLS[text] if kind is bool else kind(text)
    except (KeyError, ValueError, OverflowError) as error:
        raise ValueError(expectation(kind)) from error
    if kind is float and math.isnan(value):
        raise ValueError(expectation(kind))
    return value
