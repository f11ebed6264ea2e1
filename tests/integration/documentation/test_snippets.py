"""Every snippet of every page is run, or says truly why it is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
from reader import Compilations, Reader
from snippets import FENCE, Block, blocks, pages

from qtool.cli.main import app

PAGES = pages(Path(__file__).parents[3])
WITH_BLOCKS = [name for name in PAGES if blocks(Path(__file__).parents[3] / name, name)]


@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_the_snippets_run(read: Callable[[str], Reader], name: str) -> None:
    reader = read(name)
    if reader.missing and not reader.said:
        pytest.skip(f"needs {', '.join(reader.missing)}")


@pytest.mark.parametrize("name", PAGES)
def test_every_block_says_what_it_is(repository: Path, name: str) -> None:
    text = (repository / name).read_text(encoding="utf-8")
    found = {block.place: block.fault() for block in blocks(repository / name, name)}
    assert {place: fault for place, fault in found.items() if fault} == {}
    assert text.count("```") == 2 * len(FENCE.findall(text)), "a fence is not closed"
    outside = FENCE.sub("", text)
    assert not re.search(r"^    (\$ )?(qtool|python|pip) ", outside, re.MULTILINE), "an indented command"


@pytest.mark.parametrize("name", PAGES)
def test_commands_that_are_mentioned_exist(repository: Path, name: str) -> None:
    text = FENCE.sub("", (repository / name).read_text(encoding="utf-8"))
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]
    strange = [code for code in inline if code.startswith("qtool ") and not understood(code.split()[1:])]
    assert strange == []
    scripts = {file for code in inline for file in re.findall(r"^python (\w[\w/]*\.py)", code)}
    assert [file for file in scripts if not (repository / file).is_file()] == []


def understood(words: list[str]) -> bool:
    """Tell whether a command exists, and every option that is named."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        first = words.pop(0)
        if first.startswith("-") or not first.islower():
            return first in {"-h", "--help", "--version", "--install-completion"} or first.isupper()
        if first not in (alternatives := command.commands):
            return False
        command = alternatives[first]
    known = {option for parameter in command.params for option in parameter.opts}
    return {word for word in words if re.fullmatch(r"--[a-z-]+", word)} <= known | {"--help"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```\nqtool passes list\n```", "unknown language"),
        ("```text\nqtool passes list\n```", "nothing runs"),
        ("<!-- not run: it is late -->\n```sh\nqtool passes list\n```", "no reason"),
        ("<!-- not run: installs packages -->\n```sh\nqtool passes list\n```", "no reason"),
        ("<!-- not run: installs packages -->\n```sh\npip install x\n```", None),
    ],
)
def test_what_nobody_would_run_is_found(tmp_path: Path, text: str, fault: str | None) -> None:
    (tmp_path / "page.md").write_text(text + "\n", encoding="utf-8")
    (block,) = blocks(tmp_path / "page.md", "page.md")
    assert (fault is None and block.fault() is None) or fault in str(block.fault())


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("sh", "qtool passes lisd\n"),
        ("sh", "python -c 'import nothing_of_this_name'\n"),
        ("console", "$ qtool passes show gptq\nsomething else\n"),
    ],
)
def test_a_snippet_that_is_wrong_fails(
    cli: Callable[..., Any], repository: Path, tmp_path: Path, language: str, text: str
) -> None:
    reader = Reader(tmp_path, cli, Compilations())
    reader.unpack(repository, {}, [])
    with pytest.raises(AssertionError, match=r"page\.md:7"):
        reader.read([Block("page.md:7", language, "", text)])


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("inspect MODEL", True),
        ("inspekt MODEL", False),
        ("report DIR --no-such-option", False),
        ("targets probe -o here.toml", True),
    ],
)
def test_a_command_that_does_not_exist_is_found(code: str, known: bool) -> None:
    assert understood(code.split()) is known
