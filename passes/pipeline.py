r"""The text form of a pipeline, parsed into passes and printed from them.

::

    pipeline := [ pass ("," pass)* ]
    pass     := name [ "{" [ option (" " option)* ] "}" ]
    option   := key [ "=" value ("," value)* ]
    value    := any characters but blanks and , = { } " , or a JSON string

For example ``canonicalize,equalize{iterations=5},lower{to=qcdq}``.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import MISSING
from typing import TYPE_CHECKING, Any

from passes.errors import UsageError, unknown_name
from passes.options import BARE_WORD, Option, options_of, read_option, write_option
from passes.registry import find_pass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from passes.api import Pass

_NAME = re.compile(r"[A-Za-z][\w-]*")
_VALUE = re.compile(rf'"(?:[^"\\]|\\.)*"|{BARE_WORD.pattern}')
_BLANKS = re.compile(r"\s*")
_WORD_END = re.compile(r"[\s}]|$")


def parse(text: str) -> tuple[Pass, ...]:
    """Read a pipeline.

    Args:
        text: see the grammar of the module; blanks around names, braces and commas between passes are free.

    Raises:
        UsageError: the text does not follow the grammar, or names a pass or option that does not exist, or an
            option has a value of the wrong kind; the message gives the position.
    """
    return _Parser(text).pipeline()


def to_text(passes: Iterable[Pass]) -> str:
    """Print passes so that `parse` gives them back; options at their defaults are left out."""
    return ",".join(_pass_to_text(step) for step in passes)


def _pass_to_text(step: Pass) -> str:
    words = []
    for option in options_of(type(step)).values():
        value = getattr(step, option.field)
        if option.default is MISSING or value != option.default:
            words.append(option.key if value is True else f"{option.key}={write_option(value)}")
    return f"{step.name}{{{' '.join(words)}}}" if words else step.name


class _Parser:
    """A cursor in the text; each method reads one rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def pipeline(self) -> tuple[Pass, ...]:
        self._match(_BLANKS)
        if self._at == len(self._text):
            return ()
        found = [self._pass()]
        while self._accept(","):
            found.append(self._pass())
        if self._at < len(self._text):
            raise self._expected("a comma or the end")
        return tuple(found)

    def _pass(self) -> Pass:
        self._match(_BLANKS)
        start, name = self._at, self._match(_NAME)
        if not name:
            raise self._expected("the name of a pass")
        with self._located(start):
            pass_class = find_pass(name)
        options = options_of(pass_class)
        given = self._options(name, options) if self._accept("{") else {}
        with self._located(start):
            for option in options.values():
                if option.default is MISSING and option.field not in given:
                    raise UsageError(f"{name} needs the option {option.key}")
            return pass_class(**given)

    def _options(self, name: str, options: dict[str, Option]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        while not self._accept("}"):
            start, key = self._at, self._match(_NAME)
            if not key:
                raise self._expected(f"an option of {name} or a closing brace")
            with self._located(start):
                if key not in options:
                    raise unknown_name(f"option of pass {name}", key[:80], options)
                if options[key].field in given:
                    raise UsageError(f"{name} is given the option {key} twice")
            words = self._words()
            with self._located(start):
                given[options[key].field] = _value(f"option {key} of {name}", options[key], words)
        return given

    def _words(self) -> list[str]:
        words: list[str] = []
        while self._text.startswith("," if words else "=", self._at):
            self._at += 1
            words.append(self._match(_VALUE))
            if not words[-1]:
                raise self._expected("a value")
        if not _WORD_END.match(self._text, self._at):
            raise self._expected("a blank or a closing brace")
        return words

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found.group() if found else ""

    def _accept(self, mark: str) -> bool:
        """Step over a mark and the blanks around it."""
        self._match(_BLANKS)
        accepted = self._text.startswith(mark, self._at)
        if accepted:
            self._at += 1
            self._match(_BLANKS)
        return accepted

    def _expected(self, what: str) -> UsageError:
        found = repr(self._text[self._at : self._at + 20]) if self._at < len(self._text) else "the end"
        return UsageError(f"{self._where(self._at)}: expected {what}, found {found}")

    def _where(self, position: int) -> str:
        return f"pipeline, character {position + 1}"

    @contextmanager
    def _located(self, position: int) -> Iterator[None]:
        """Say in the message of an error where in the text it arose."""
        try:
            yield
        except (UsageError, ValueError) as error:
            raise UsageError(f"{self._where(position)}: {error}") from error


def _value(what: str, option: Option, words: list[str]) -> Any:
    try:
        return read_option(option.kind, words)
    except ValueError as error:
        found = repr(",".join(words)[:80]) if words else "no value"
        raise UsageError(f"{what}: expected {error}, found {found}") from error
