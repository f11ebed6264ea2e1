"""The pages of the machines are what their files and classes say now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from hwmodels.registry import BUILTIN


@pytest.fixture(scope="module")
def generator(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("machine_pages", repository / "docs" / "machine_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_pages_are_up_to_date(generator: ModuleType, repository: Path) -> None:
    folder = repository / "docs" / "machines"
    for file, text in generator.pages().items():
        assert (folder / file).read_text(encoding="utf-8") == text, (
            f"{file}: run python docs/machine_pages.py"
        )


@pytest.mark.parametrize("name", BUILTIN)
def test_every_machine_has_a_page_with_its_plot_and_says_how_it_was_checked(
    name: str, repository: Path
) -> None:
    page = (repository / "docs" / "machines" / f"{name}.md").read_text(encoding="utf-8")
    assert (repository / "docs" / "machines" / f"{name}.svg").is_file()
    assert "Not checked against" not in page or name == "generic"
