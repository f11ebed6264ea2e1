"""Writes licences.md: the licences of everything that qtool installs, from the packages' own metadata.

Run it in an environment with all extras of pyproject.toml; what is not installed keeps the line that it had.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
HEAD = """# Licences

qtool itself is Apache-2.0. These are the packages that an installation may bring along, in the versions of
`constraints.txt`, with the licences that they name; none is shipped with qtool. `python docs/licences.py`
writes this page.
"""
TABLE = ("| package | version | licence |", "|---|---|---|")
LONGEST = 60


def sections() -> dict[str, dict[str, str]]:
    """Return what constraints.txt lists, by its headings: package and version."""
    found: dict[str, dict[str, str]] = {}
    heading = ""
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:]:
        if line.startswith("# "):
            heading = line.removeprefix("# ")
        elif "==" in line:
            name, _, version = line.partition("==")
            found.setdefault(heading, {})[name] = version
    return found


def licence_of(package: str) -> str | None:
    """Return the licence that a package names: its expression, else its classifiers, else its first line.

    Returns:
        ``None`` where the package is not installed.
    """
    try:
        fields = metadata(package)
    except PackageNotFoundError:
        return None
    if expression := fields.get("License-Expression"):
        return expression
    classifiers = [value for value in fields.get_all("Classifier", []) if value.startswith("License ::")]
    if classifiers:
        return ", ".join(value.rpartition(" :: ")[2] for value in classifiers)
    lines = (fields.get("License") or "").strip().splitlines()
    return lines[0][:LONGEST] if lines else "not named"


def known() -> dict[str, str]:
    """Return the licences on the page as it is: those of packages that are not installed here stay."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    return dict(re.findall(r"^\| ([a-z0-9._-]+) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE))


def page() -> str:
    """Return the page."""
    stored, parts = known(), [HEAD]
    for heading, packages in sections().items():
        rows = [
            f"| {name} | {version} | {licence_of(name) or stored.get(name, 'not installed')} |"
            for name, version in packages.items()
        ]
        title = heading[0].upper() + heading[1:]
        parts.append("\n".join([f"## {title}", "", *TABLE, *rows, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
