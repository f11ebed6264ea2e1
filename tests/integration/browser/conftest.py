"""Headless Chromium, and axe, which finds what bars people from a page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
AXE = Path("node_modules/axe-core/axe.min.js")
"""Where `npm install axe-core` in the root of the checkout puts it."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def barriers(repository: Path) -> Callable[[Page], list[str]]:
    """Ask axe about an open page: how grave, what, where; skips where axe is not installed."""
    if not (repository / AXE).is_file():
        pytest.skip(f"axe-core is not installed: npm install axe-core puts it at {AXE}")

    def find(page: Page) -> list[str]:
        page.add_script_tag(path=str(repository / AXE))
        found = page.evaluate("axe.run()")["violations"]
        return [f"{entry['impact']}: {entry['help']}: {entry['nodes'][0]['html'][:120]}" for entry in found]

    return find
