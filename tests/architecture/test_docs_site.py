"""The documentation: generated pages are what the code says, and the site builds without a warning."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_reference_pages_are_up_to_date(repository: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "reference_pages", repository / "docs" / "reference_pages.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for file, text in module.pages().items():
        found = (repository / "docs" / "reference" / file).read_text(encoding="utf-8")
        assert found == text, f"{file}: run python docs/reference_pages.py"


@pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="the extra docs is not installed")
def test_the_site_builds_without_a_warning(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "reference" / "commands.html").is_file()


def test_every_page_is_in_the_navigation(repository: Path) -> None:
    text = (repository / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [path.relative_to(repository / "docs") for path in (repository / "docs").rglob("*.md")]
    alone = [str(page) for page in pages if page.parts[0] != "machines" and f"- {page}\n" not in text]
    assert alone == []
