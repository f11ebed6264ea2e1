"""The integer runtime can be taken out of the tool: it needs numpy, the artifact and the numerics only."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Source

ALLOWED = ("numpy", "passes.artifact", "passes.numerics", "passes.errors", "qtool.runtime")


def imported(tree: ast.Module) -> set[str]:
    """The dotted names that a module imports anywhere: ``from a import b`` counts as ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def forbidden(names: set[str]) -> set[str]:
    """The names that are neither allowed nor part of the standard library."""
    return {
        name
        for name in names
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not any(name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED)
    }


def test_the_runtime_imports_what_it_may(sources: list[Source]) -> None:
    runtime = [source for source in sources if source.path.startswith("qtool/runtime")]
    assert runtime
    wrong = {source.path: names for source in runtime if (names := forbidden(imported(source.tree)))}
    assert not wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import numpy as np", set()),
        ("from passes import errors", set()),
        ("from passes.numerics.affine import quantize", set()),
        ("from passes import ir", {"passes.ir"}),
        ("def f():\n  import onnx", {"onnx"}),
        ("import qtool.cli", {"qtool.cli"}),
        ("import numpyish", {"numpyish"}),
    ],
)
def test_forbidden_imports_are_found(text: str, expected: set[str]) -> None:
    assert forbidden(imported(ast.parse(text))) == expected
