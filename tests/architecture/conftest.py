"""The source files of the three packages, parsed once for all the tests of this folder."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("qtool", "passes", "hwmodels")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the repository root, its text and its tree."""

    path: str
    text: str
    tree: ast.Module


@pytest.fixture(scope="session")
def sources(repository: Path) -> list[Source]:
    """Every Python file that is shipped."""
    files = [path for package in PACKAGES for path in sorted((repository / package).rglob("*.py"))]
    return [_parse(repository, path) for path in files]


@pytest.fixture(scope="session")
def pyproject(repository: Path) -> dict[str, Any]:
    """The content of pyproject.toml."""
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


def _parse(repository: Path, path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    return Source(path.relative_to(repository).as_posix(), text, ast.parse(text, filename=str(path)))
