"""A reader who does what a page says, block by block, in a folder with the sample network."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import yaml
from snippets import Block
from typer.testing import Result

from passes.pipeline import parse

Cli = Callable[..., Result]
PARSERS: dict[str, Callable[[str], object]] = {
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "json": json.loads,
    "pipeline": parse,
}
COPIES = {"digits": ("model",), "digits_calib": ("calib", "train"), "digits_eval": ("eval",)}
"""Files of samples/quickstart under the names that pages give to a model and data of one's own."""
LONG = ("quantize", "search")
"""Commands of which results are shared."""


class Compilations:
    """What long commands wrote and printed, by what was asked: pages that ask alike share one."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[Path, str]] = {}

    def add(self, words: list[str], folder: Path, printed: str) -> None:
        """Keep the result of a command."""
        self._known[self._asked(words)] = (folder, printed)

    def copy(self, words: list[str], to: Path) -> str | None:
        """Put the folder of an equal command where this one would; return what that one printed."""
        if words[0] not in LONG or (found := self._known.get(self._asked(words))) is None:
            return None
        shutil.copytree(found[0], to, dirs_exist_ok="--force" in words)
        return found[1]

    def _asked(self, words: list[str]) -> tuple[str, ...]:
        at = words.index("-o")
        rest = [word for word in (*words[:at], *words[at + 2 :]) if word != "--force"]
        return tuple(str(Path(word).resolve()) if Path(word).exists() else word for word in rest)


@dataclass
class Reader:
    """Runs blocks; a command that fails, or prints other things than the page shows, fails the test.

    Attributes:
        folder: where the reader is; ``samples`` and files to start with lie in it.
        cli: runs a qtool command in this process.
        compilations: results to share.
        said: what each block that was run printed, by its place.
        missing: modules without which blocks were left out.
    """

    folder: Path
    cli: Cli
    compilations: Compilations
    said: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def unpack(self, repository: Path, known: dict[str, Path], wanted: list[str]) -> None:
        """Put what a reader has into the folder."""
        (self.folder / "samples").symlink_to(repository / "samples")
        for source in (repository / "samples" / "quickstart").glob("digits*"):
            (self.folder / source.name).symlink_to(source)
            for name in COPIES[source.stem]:
                (self.folder / (name + source.suffix)).symlink_to(source)
        for name in wanted:
            copy = shutil.copytree if known[name].is_dir() else shutil.copy
            copy(known[name], self.folder / name)

    def read(self, blocks: list[Block]) -> None:
        """Do what the blocks say."""
        with contextlib.chdir(self.folder), _search_path(self.folder / "site"):
            for block in blocks:
                if block.left_out is None:
                    self._follow(block)

    def _follow(self, block: Block) -> None:
        if block.needs and find_spec(block.needs) is None:
            self.missing.append(block.needs)
        elif block.file:
            # A table has no comments: the line that names it is for the page.
            text = block.text.partition("\n")[2] if block.language == "csv" else block.text
            Path(block.file).write_text(text, encoding="utf-8")
        elif block.language == "python":
            self.said[block.place] = self._execute(block)
        elif block.language in ("sh", "console"):
            self.said[block.place] = "".join(self._run(block, *command) for command in block.commands())
        elif block.language in PARSERS:
            PARSERS[block.language](block.text)

    def _execute(self, block: Block) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), _search_path(self.folder):
            # An own module name, as dataclasses look themselves up by it.
            exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})
        return printed.getvalue()

    def _run(self, block: Block, words: list[str], shown: list[str]) -> str:
        if words[0] == "qtool":
            printed = self._qtool(block, words[1:])
        elif words[:2] == ["pip", "install"]:
            printed = self._install(block, words[2:])
        else:
            printed = self._start(block, words)
        lines = {_outline(line) for line in printed.splitlines()}
        strange = [line for line in shown if _outline(line) not in lines]
        assert not strange, f"{block.place}: {words} did not print\n{strange}\nbut\n{printed}"
        return printed

    def _qtool(self, block: Block, words: list[str]) -> str:
        out = Path(words[words.index("-o") + 1]) if "-o" in words else self.folder
        if (known := self.compilations.copy(words, out)) is not None:
            return known
        result = self.cli(*words)
        assert result.exit_code == 0, f"{block.place}: qtool {words}\n{result.output}"
        if words[0] in LONG:
            self.compilations.add(words, out.resolve(), result.stdout)
        return result.stdout

    def _install(self, block: Block, words: list[str]) -> str:
        assert Path(words[0]).is_dir(), f"{block.place}: only what lies in the repository is installed"
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", "site"]
        return self._start(block, ["python", "-m", "pip", "install", *options, *words])

    def _start(self, block: Block, words: list[str]) -> str:
        repository = (self.folder / "samples").resolve().parent
        # The Makefile's constraints of pip are relative to the checkout, and refused without isolation.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        environment |= {"PYTHONPATH": f"site:{repository}", "PYTHONDONTWRITEBYTECODE": "1"}
        words = [sys.executable, *words[1:]] if words[0] == "python" else words
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block.place}: {words}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@contextlib.contextmanager
def _search_path(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported, and forget them afterwards."""
    before = [*sys.path]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(folder)):
                del sys.modules[name]


def _outline(line: str) -> str:
    """Return the first word of a line without its figures, which differ from machine to machine."""
    return re.sub(r"\d[\d.]*", "#", (line.split() or [""])[0])
