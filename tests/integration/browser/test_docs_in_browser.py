"""The documentation in headless Chromium: everyone can read it, in both themes and on narrow windows."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = (
    "index",
    "tutorial",
    "howto/lost-accuracy",
    "report",
    "methods",
    "reference/commands",
    "machines/index",
)
"""One page of every kind."""
NARROW = {"width": 360, "height": 700}


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built."""
    if importlib.util.find_spec("material") is None:
        pytest.skip("the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "-d", str(folder)]
    subprocess.run(command, cwd=repository, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_serious_barrier(
    browser: Browser, barriers: Callable[[Page], list[str]], site: Path, name: str, scheme: str
) -> None:
    page = browser.new_context(color_scheme=scheme).new_page()
    page.goto((site / f"{name}.html").as_uri())
    # The theme calls the buttons beside all blocks of code alike, which is a moderate one.
    assert [line for line in barriers(page) if line.startswith(("serious", "critical"))] == []
    page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_narrow_window_has_no_sideways_scrolling(browser: Browser, site: Path, name: str) -> None:
    page = browser.new_context(viewport=NARROW).new_page()
    page.goto((site / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.context.close()
