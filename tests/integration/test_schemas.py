"""What the tool writes is what the published schemas say: valid, and with no key that they do not name."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from qtool.documents import DOCUMENTS
from qtool.schema import json_schema

FILES = {"report": "report.json", "plan": "plan.json", "problem": "problem.json"}


def faults(name: str, document: object) -> list[str]:
    """What a schema says of a document, if it names all keys."""
    validator = jsonschema.Draft202012Validator(json_schema(DOCUMENTS[name], closed=True))
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)]


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_of_a_compilation(compiled: Path, name: str) -> None:
    assert faults(name, read(compiled / FILES[name])) == []


def test_of_a_search(exploration: tuple[list[str], Path, str]) -> None:
    folder = exploration[1]
    assert faults("front", read(folder / "front.json")) == []
    assert faults("problem", read(folder / "problem.json")) == []


def test_of_a_check(repository: Path) -> None:
    folder = repository / "samples" / "ci"
    assert faults("qtool-toml", tomllib.loads((folder / "qtool.toml").read_text(encoding="utf-8"))) == []
    assert faults("baseline", read(folder / "qtool-baseline.json")) == []


@pytest.mark.parametrize("name", ["report", "plan"])
def test_a_key_of_another_kind_is_found(compiled: Path, name: str) -> None:
    document = read(compiled / FILES[name])
    document["layers"][0]["weight_bits"] = "four"
    assert faults(name, document)
    assert faults(name, document | {"unknown": 0}) != faults(name, document)
