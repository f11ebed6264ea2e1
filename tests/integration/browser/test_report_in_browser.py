"""report.html in headless Chromium: it draws, asks for nothing, reacts, and can be read by everyone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass
class Opened:
    """A page, and what it said and asked for while it was open."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def opened(browser: Browser, file: Path, **options: Any) -> Opened:
    """Open a page and wait until its charts are drawn."""
    found = Opened(browser.new_context(**options).new_page())
    found.page.on("console", lambda message: found.said.append(message.text))
    found.page.on("pageerror", lambda error: found.said.append(str(error)))
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.goto(file.as_uri())
    found.page.wait_for_selector("body[data-drawn]", timeout=60_000)
    return found


@pytest.fixture(scope="module")
def compiled_page(browser: Browser, compiled: Path) -> Opened:
    """The page of a compiled_page, open."""
    return opened(browser, compiled / "report.html", color_scheme="light")


def heights(page: Page) -> list[str]:
    """The shapes of the bars that show the bits of the plan that is picked."""
    paths = page.locator("#chart-front svg path[aria-roledescription='bar']")
    return [paths.nth(at).get_attribute("d") or "" for at in range(paths.count())]


def test_the_page_draws_every_chart_and_asks_for_nothing(compiled_page: Opened) -> None:
    page = compiled_page.page
    charts = page.locator("figure").count()
    assert charts >= 7
    assert page.locator("figure svg").count() == charts
    assert compiled_page.said == []
    assert [url.split(":")[0] for url in compiled_page.asked] == ["file"]


def test_the_page_of_a_search_does_too(browser: Browser, exploration: tuple[list[str], Path, str]) -> None:
    found = opened(browser, exploration[1] / "report.html")
    assert found.page.locator("figure svg").count() == found.page.locator("figure").count() >= 4
    assert (found.said, len(found.asked)) == ([], 1)


def test_a_point_is_picked_from_the_list_and_by_a_click(compiled_page: Opened) -> None:
    page, chosen = compiled_page.page, compiled_page.page.locator("#chart-front select")
    before = heights(page)
    chosen.select_option("w2a2")
    narrow = heights(page)
    assert len(narrow) == len(before) == 16
    assert narrow != before
    point = page.locator("#chart-front svg path[aria-roledescription='point'][aria-label*='w4a8']").first
    point.click(force=True)
    assert chosen.input_value() == "w4a8"
    assert heights(page) not in (narrow, before)


def test_the_theme_follows_the_system_and_the_button(browser: Browser, compiled: Path) -> None:
    page = opened(browser, compiled / "report.html", color_scheme="dark").page
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.get_by_role("button", name="Light theme").press("Enter")
    light = page.evaluate(colour)
    assert (dark, light) == ("rgb(20, 23, 27)", "rgb(255, 255, 255)")
    page.get_by_role("button", name="Dark theme").click()
    page.emulate_media(media="print")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    assert page.locator("nav").is_hidden()


def test_a_narrow_window_has_no_sideways_scrolling(browser: Browser, compiled: Path) -> None:
    page = opened(browser, compiled / "report.html", viewport={"width": 360, "height": 700}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_first_key_skips_to_the_report(browser: Browser, compiled: Path) -> None:
    page = opened(browser, compiled / "report.html").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_names_out_of_a_model_stay_text(browser: Browser, tmp_path: Path, compiled: Path) -> None:
    hostile = '</script><img src=x onerror="window.attacked=1">'
    copied = Path(shutil.copytree(compiled, tmp_path / "run"))
    for name in ("report.json", "problem.json"):
        text = (copied / name).read_text(encoding="utf-8")
        (copied / name).write_text(text.replace("stem.conv", hostile.replace('"', '\\"')), encoding="utf-8")
    from qtool.report.folder import write_page

    found = opened(browser, write_page(copied))
    assert found.page.evaluate("window.attacked === undefined")
    assert found.page.locator("img").count() == 0
    assert (found.said, len(found.asked)) == ([], 1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(
    browser: Browser, barriers: Callable[[Page], list[str]], compiled: Path, scheme: str
) -> None:
    page = opened(browser, compiled / "report.html", color_scheme=scheme, bypass_csp=True).page
    assert barriers(page) == []
