"""Sizes, docstrings and prints of the shipped source files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Source

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a tree, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def public_definitions(body: list[ast.stmt]) -> Iterator[Definition]:
    """Public classes and functions, and the public methods of the public classes."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body)


def calls_print(node: ast.AST) -> bool:
    """Whether a node is a call of the built-in ``print``."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def is_overload(node: Definition) -> bool:
    """Whether a definition is a signature only, documented by its implementation."""
    return any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in node.decorator_list)


def undocumented(tree: ast.Module) -> list[str]:
    """The public names of a module that have no docstring, the module itself included."""
    names = [] if ast.get_docstring(tree) else ["the module"]
    bare = (node for node in public_definitions(tree.body) if not ast.get_docstring(node))
    return names + [f"{node.name} (line {node.lineno})" for node in bare if not is_overload(node)]


def test_files_are_short(sources: list[Source]) -> None:
    long = {source.path: lines for source in sources if (lines := source.text.count("\n")) > MAX_FILE_LINES}
    assert not long


def test_functions_are_short(sources: list[Source]) -> None:
    long = {
        f"{source.path}:{node.lineno} {node.name}": lines
        for source in sources
        for node in functions(source.tree)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert not long


def test_every_public_name_is_documented(sources: list[Source]) -> None:
    missing = {source.path: names for source in sources if (names := undocumented(source.tree))}
    assert not missing


def test_the_library_never_prints(sources: list[Source]) -> None:
    prints = [
        f"{source.path}:{node.lineno}"
        for source in sources
        for node in ast.walk(source.tree)
        if calls_print(node)
    ]
    assert not prints


def test_the_library_never_asserts(sources: list[Source]) -> None:
    asserts = [
        f"{source.path}:{node.lineno}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assert)
    ]
    assert not asserts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'''Doc.'''\ndef _f(): ...", []),
        ("'''Doc.'''\ndef f(): ...", ["f (line 2)"]),
        ("'''Doc.'''\nclass C:\n  '''Doc.'''\n  def m(self): ...", ["m (line 4)"]),
        ("'''Doc.'''\n@overload\ndef f(): ...", []),
        ("x = 1", ["the module"]),
    ],
)
def test_missing_docstrings_are_found(text: str, expected: list[str]) -> None:
    assert undocumented(ast.parse(text)) == expected
