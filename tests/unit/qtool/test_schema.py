"""Schemas out of types: what is needed, what may be left out, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

import jsonschema
import pytest

from qtool.schema import json_schema


@dataclass(frozen=True)
class Part:
    """A part.

    Attributes:
        name: what it is
            called.
        low, high: its ends.
    """

    name: str
    low: float
    high: float | None = None


class Whole(TypedDict):
    """All of it."""

    version: Literal[1]
    parts: tuple[Part, ...]
    by_name: NotRequired[Mapping[str, list[int]]]


@dataclass(frozen=True)
class Grown(Part):
    """A part with more."""

    more: tuple[str, ...] = field(default_factory=tuple)
    sure: bool = False


def accepts(schema: dict[str, Any], document: object) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(document)


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ({"version": 1, "parts": [{"name": "a", "low": 1}]}, True),
        ({"version": 1, "parts": [{"name": "a", "low": 1.5, "high": None}], "by_name": {"b": [1]}}, True),
        ({"version": 1, "parts": [], "unknown": 0}, True),
        ({"version": 2, "parts": []}, False),
        ({"version": 1}, False),
        ({"version": 1, "parts": [{"name": "a"}]}, False),
        ({"version": 1, "parts": [{"name": "a", "low": "1"}]}, False),
        ({"version": 1, "parts": [], "by_name": {"b": [0.5]}}, False),
    ],
)
def test_documents_are_told_apart(document: object, valid: bool) -> None:
    schema = json_schema(Whole)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert accepts(schema, document) is valid


def test_closed_schemas_refuse_keys_that_they_do_not_name() -> None:
    schema = json_schema(Grown, closed=True)
    assert accepts(schema, {"name": "a", "low": 0, "more": ["b"], "sure": True})
    assert not accepts(schema, {"name": "a", "low": 0, "mroe": []})


def test_docstrings_become_descriptions_and_defaults_are_kept() -> None:
    properties = json_schema(Grown)["properties"]
    assert properties["name"]["description"] == "what it is called."
    assert properties["low"]["description"] == properties["high"]["description"] == "its ends."
    assert properties["sure"] == {"type": "boolean", "default": False}


def test_a_type_that_no_document_has_is_refused() -> None:
    with pytest.raises(TypeError, match="no document"):
        json_schema(TypedDict("Odd", {"key": Any}))  # type: ignore[operator]
