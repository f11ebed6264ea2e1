"""What all commands have in common: options, logs, completion, the version."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner, Result

from qtool import __version__
from qtool.cli.main import app

Cli = Callable[..., Result]
MODEL = "samples/quickstart/digits.onnx"


def leaves(command: object, name: str) -> Iterator[tuple[str, set[str]]]:
    """Every command with the options it has."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, {option for parameter in command.params for option in parameter.opts}  # type: ignore[attr-defined]
        return
    for word, one in inner.items():
        yield from leaves(one, f"{name} {word}")


@pytest.mark.parametrize(
    ("name", "options"), [*leaves(typer.main.get_command(app), "qtool")], ids=lambda value: str(value)[:30]
)
def test_every_command_has_the_options_of_all(name: str, options: set[str]) -> None:
    assert {"--json", "--quiet", "--verbose", "--log-file", "--debug"} <= options


def test_verbose_tells_what_passes_did_on_standard_error(cli: Cli, repository: Path) -> None:
    result = cli("opt", repository / MODEL, "-p", "canonicalize,fold-batchnorm", "--verbose", "--quiet")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "fold-batchnorm: 7 batch normalizations folded (" in result.stderr


def test_a_log_file_has_steps_and_tracebacks(cli: Cli, repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert cli("opt", repository / MODEL, "-p", "canonicalize", "--quiet", "--log-file", log).exit_code == 0
    assert "INFO    canonicalize: 27 nodes" in log.read_text(encoding="utf-8")
    result = cli("inspect", tmp_path / "gone.onnx", "--log-file", log)
    assert result.exit_code == 3
    assert "Traceback" not in result.stderr
    text = log.read_text(encoding="utf-8")
    assert "ended by ModelError" in text
    assert "Traceback" in text
    assert "canonicalize" not in text
    assert not logging.getLogger("qtool").handlers


def test_a_log_file_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    result = cli("passes", "list", "--log-file", tmp_path)
    assert result.exit_code == 3
    assert "cannot be read or written" in result.stderr


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("qtool quan", ["quantize"]),
        ("qtool quantize --target bitfusion-s", ["bitfusion-server", "bitfusion-sim"]),
    ],
)
def test_shells_complete_commands_and_machines(words: str, found: list[str]) -> None:
    asked = {"_QTOOL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    result = CliRunner().invoke(app, [], prog_name="qtool", env=asked)
    assert result.exit_code == 0
    assert result.stdout.split() == found


def test_the_version_names_what_decides_results(cli: Cli) -> None:
    lines = cli("--version").stdout.splitlines()
    assert lines[0] == f"qtool {__version__}"
    assert {line.partition(" ")[0] for line in lines} >= {"Python", "onnx", "onnxruntime", "numpy", "native"}
