"""Tables between two comments of a page, which scripts write and people do not."""

from __future__ import annotations

from pathlib import Path

START, END = "<!-- table -->", "<!-- end of table -->"


def fill(page: Path, table: str) -> None:
    """Replace what stands between the comments of a page."""
    text = page.read_text(encoding="utf-8")
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text(before + "\n\n".join([START, table, END]) + after, encoding="utf-8")
