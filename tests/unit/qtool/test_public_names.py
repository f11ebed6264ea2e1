"""The names that ``import qtool`` promises."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import qtool


@pytest.mark.parametrize("name", qtool.__all__)
def test_every_promised_name_is_there(name: str) -> None:
    assert getattr(qtool, name) is not None
    assert name in dir(qtool)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="'qtool' has no attribute 'quantise'"):
        qtool.quantise  # noqa: B018 - looking it up is the test


def test_type_checkers_see_the_same_names(repository: Path) -> None:
    tree = ast.parse((repository / "qtool" / "__init__.pyi").read_text(encoding="utf-8"))
    imported = {
        alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    declared = {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}  # type: ignore[union-attr]
    assert imported | declared == set(qtool.__all__)


def test_no_module_hides_a_name(repository: Path) -> None:
    # Importing a module puts it into its package, over a function of the same name.
    modules = {path.stem for path in (repository / "qtool").iterdir()}
    assert not modules & set(qtool.__all__)
