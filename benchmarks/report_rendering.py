"""How long report.html takes to draw in headless Chromium, and whether it asks for anything.

    python benchmarks/report_rendering.py NAME=FOLDER/report.html...

Every page is opened ROUNDS times in a fresh context; seconds are those from asking for the page until all of
its charts are drawn, the median of all rounds. Needs playwright and Chromium. Writes
benchmarks/results/report_rendering.json; results of pages that are not named are kept.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from environment import environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RESULTS = Path(__file__).resolve().parent / "results" / "report_rendering.json"
ROUNDS = 5


def drawn(browser: Browser, file: Path) -> tuple[float, list[str]]:
    """Return the seconds until all charts are drawn, and what went wrong: errors, other requests."""
    context = browser.new_context()
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    address = file.resolve().as_uri()
    page.on("request", lambda request: wrong.append(request.url) if request.url != address else None)
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("body[data-drawn]")
    seconds = time.perf_counter() - start
    context.close()
    return seconds, wrong


def measure(browser: Browser, file: Path) -> dict[str, Any]:
    """Return the figures of one page."""
    rounds = [drawn(browser, file) for _ in range(ROUNDS)]
    seconds = [taken for taken, _ in rounds]
    return {
        "seconds": round(statistics.median(seconds), 3),
        "slowest": round(max(seconds), 3),
        "errors_and_requests": sorted({text for _, wrong in rounds for text in wrong}),
        "bytes": file.stat().st_size,
        "environment": environment(),
    }


def main(words: list[str]) -> None:
    """Measure the pages that are named, and keep the figures."""
    from playwright.sync_api import sync_playwright

    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, file in (word.split("=", 1) for word in words):
            results[name] = measure(browser, Path(file))
            print(name, {key: value for key, value in results[name].items() if key != "environment"})
        results["chromium"] = browser.version
        browser.close()
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
