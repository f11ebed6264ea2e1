"""Importing the tool is cheap: heavy packages are loaded by the commands that need them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "onnx",
    "onnxruntime",
    "onnx_graphsurgeon",
    "scipy",
    "networkx",
    "torch",
    "altair",
    "jinja2",
    "vl_convert",
}


def loaded_by(statement: str, folder: Path) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["qtool", "qtool.runtime", "qtool.cli", "hwmodels", "passes"])
def test_an_import_loads_nothing_heavy(module: str, repository: Path) -> None:
    assert loaded_by(f"import {module}", repository) & HEAVY == set()


def test_a_heavy_import_would_be_seen(repository: Path) -> None:
    assert "onnx" in loaded_by("import onnx", repository)
