"""Takes the pictures of docs/report.md: python docs/report_screenshots.py RUN/report.html SEARCH/report.html.

Needs playwright and Chromium. The first page is photographed as a compilation, the second as a search.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DOCS = Path(__file__).parent
WIDTH, HEIGHT = 1000, 1250
COLOURS = 256
"""Of a picture: what a palette holds, which makes a small file of a page of flat colours."""


def main(compiled: Path, searched: Path) -> None:
    """Photograph the top of both pages, and the middle of the first in dark colours."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        take(browser, compiled, "headline", "light", "report.png")
        take(browser, compiled, "front", "dark", "report_front.png")
        take(browser, searched, "headline", "light", "report_search.png")
        browser.close()


def take(browser: Browser, file: Path, section: str, scheme: str, name: str) -> None:
    """Photograph a window of the page from a section on."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": WIDTH, "height": HEIGHT})
    page = context.new_page()
    page.goto(file.resolve().as_uri())
    page.wait_for_selector("body[data-drawn]")
    page.evaluate("name => document.getElementById(name).scrollIntoView()", section)
    page.screenshot(path=DOCS / name)
    context.close()
    shrink(DOCS / name)


def shrink(file: Path) -> None:
    """Store a picture with few colours."""
    from PIL import Image

    with Image.open(file) as picture:
        small = picture.convert("RGB").quantize(COLOURS)
    small.save(file, optimize=True)


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:]))
