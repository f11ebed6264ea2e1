"""What docs/ci.md and samples/ci show is what happens."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import Result

from qtool.check.config import Options
from qtool.check.tolerances import NAMES

Cli = Callable[..., Result]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_the_five_minutes(
    cli: Cli, repository: Path, quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = repository / "docs" / "ci.md"
    for name in ("digits.onnx", "digits_calib.npz", "digits_eval.npz"):
        shutil.copy(quickstart / name, tmp_path / name)
    (config,) = blocks(page, "toml")
    (tmp_path / "qtool.toml").write_text(config, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for line in blocks(page, "sh"):
        result = cli(*shlex.split(line)[1:])
        assert result.exit_code == 0, result.output
    named = re.findall(r"^\| `([a-z.]+\.[a-z]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(named) == 4
    assert all((tmp_path / "qtool-out" / name).is_file() for name in named)


def test_the_sample_is_within_its_tolerances(cli: Cli, repository: Path, tmp_path: Path) -> None:
    (line,) = blocks(repository / "samples" / "ci" / "README.md", "sh")
    words = [word.replace("samples/", f"{repository}/samples/") for word in shlex.split(line)[1:-1]]
    result = cli(*words, tmp_path / "out")
    assert result.exit_code == 0, result.output


def test_every_key_is_on_the_page(repository: Path) -> None:
    page = (repository / "docs" / "ci.md").read_text(encoding="utf-8")
    missing = [
        name for name in (*NAMES, *(field.name for field in fields(Options))) if f"`{name}`" not in page
    ]
    assert not missing
