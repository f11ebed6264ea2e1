"""Pages as they are read: each once per session, whatever tests ask for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

sys.path.insert(0, str(Path(__file__).parent))

from reader import Compilations, Reader
from snippets import blocks, starts_with

Read = Callable[[str], Reader]


@pytest.fixture(scope="session")
def possessions(compiled: Path) -> dict[str, Path]:
    """What a page may say that it starts with."""
    files = ("model.qdq.onnx", "model.qpk", "plan.json", "plan.safetensors")
    return {name: compiled / name for name in files} | {"out": compiled, "out-before": compiled}


@pytest.fixture(scope="session")
def read(
    cli: Callable[..., Result],
    compilation: tuple[list[str], Path, str],
    exploration: tuple[list[str], Path, str],
    possessions: dict[str, Path],
    repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Read:
    """Follow a page, given relative to the repository, and return the reader who did."""
    compilations, readers = Compilations(), dict[str, Reader]()
    compilations.add(*compilation)
    compilations.add(*exploration)

    def follow(name: str) -> Reader:
        if name not in readers:
            page = repository / name
            reader = Reader(tmp_path_factory.mktemp("reader"), cli, compilations)
            reader.unpack(repository, possessions, starts_with(page))
            reader.read(blocks(page, name))
            readers[name] = reader
        return readers[name]

    return follow
