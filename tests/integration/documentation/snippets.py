"""Fenced blocks of the documentation, and what a reader who follows them would see.

A block in `sh` or `console` is run line by line, one in `python` is executed, and one whose first line says
`# file: NAME` is that file. A comment before a block changes that: `<!-- not run: REASON -->`, with a reason
out of `REASONS`, or `<!-- needs: MODULE -->`. `<!-- starts with: out -->` in a page means that its reader has
`out/` already.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*) -->\n\n?)?^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
RUN = ("sh", "console", "python")
READ = ("toml", "yaml", "json", "pipeline")
SHOWN = ("text", "csv")
"""Languages of blocks that are run, parsed, and only shown."""
REASONS = {
    "installs packages": r"^(make|pip|python -m pip|npm) ",
    "needs ../shared/data": r"\.\./shared/data|--data DATA",
    "needs several machines": r"^dask ",
    "needs a compiler and the headers of ONNX Runtime": r"^cc ",
    "takes a night": r"^QTOOL_FUZZ=",
    "searches for minutes": r"^python samples/sru/mohaq\.py ",
    "measures this machine for minutes": r"^qtool targets probe",
    "takes minutes": r"--max-drop",
    "goes on until it is stopped": r"^qtool view",
}
"""Why a block may be left out, and what it must then contain."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page.

    Attributes:
        place: page and line, for messages.
        language: what stands behind the fence.
        note: the comment before it, or empty.
        text: its lines.
    """

    place: str
    language: str
    note: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that it stands for."""
        found = re.match(r"# file: (\S+)\n", self.text)
        return found[1] if found else None

    @property
    def needs(self) -> str | None:
        """The module without which it is left out."""
        return self.note.removeprefix("needs: ") if self.note.startswith("needs: ") else None

    @property
    def left_out(self) -> str | None:
        """The reason why it is never run."""
        return self.note.removeprefix("not run: ") if self.note.startswith("not run: ") else None

    def commands(self) -> list[tuple[list[str], list[str]]]:
        """Return its commands as words, each with the lines that are shown as its output."""
        found: list[tuple[list[str], list[str]]] = []
        for line in self.text.replace("\\\n", " ").splitlines():
            if self.language == "console" and not line.startswith("$ "):
                found[-1][1].append(line)
            elif words := shlex.split(line.removeprefix("$ "), comments=True):
                found.append((words, []))
        return found

    def fault(self) -> str | None:
        """Return what is wrong with the way it is written."""
        if self.language not in (*RUN, *READ, *SHOWN):
            return f"unknown language {self.language!r}"
        if self.left_out is not None:
            pattern = REASONS.get(self.left_out)
            if pattern is None or not re.search(pattern, self.text, re.MULTILINE):
                return f"{self.left_out!r} is no reason to leave it out"
        if self.language in SHOWN and re.search(r"^(\$ )?(qtool|python|pip) ", self.text, re.MULTILINE):
            return "commands that nothing runs"
        return None


def blocks(page: Path, name: str) -> list[Block]:
    """Return the blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            f"{name}:{text[: found.start('language')].count(chr(10)) + 1}",
            found["language"],
            found["note"] or "",
            re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
        )
        for found in FENCE.finditer(text)
    ]


def starts_with(page: Path) -> list[str]:
    """Return what the reader of a page has already."""
    found = re.search(r"^<!-- starts with: (.*) -->$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].split(", ") if found else []


def pages(repository: Path) -> list[str]:
    """Return every page that people read, relative to the repository."""
    folders = ("docs", "samples")
    found = [path for folder in folders for path in (repository / folder).rglob("*.md")]
    names = [path.relative_to(repository).as_posix() for path in found]
    return sorted([*names, "README.md", "CONTRIBUTING.md"])
