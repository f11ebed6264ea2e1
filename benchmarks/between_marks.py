"""Tables between two comments of a page, which scripts write and people do not."""

from __future__ import annotations

from pathlib import Path

END = "<!-- end of table -->"


def fill(page: Path, table: str, name: str = "") -> None:
    """Replace what stands between the comments of a page; a page of several tables tells them by name."""
    start = f"<!-- {name} table -->" if name else "<!-- table -->"
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(start, 1)
    _, after = rest.split(END, 1)
    page.write_text(before + "\n\n".join([start, table, END]) + after, encoding="utf-8")
