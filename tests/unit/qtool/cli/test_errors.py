"""Exit codes and messages of every kind of error."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from hwmodels import SpecError, UnknownTargetError
from passes.errors import (
    AccuracyError,
    DataError,
    InfeasibleError,
    ModelError,
    PassContractError,
    PreconditionError,
    UsageError,
)
from qtool.cli import options
from qtool.cli.errors import Command, describe, exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("u"), 2),
        (UnknownTargetError("t"), 2),
        (ModelError("m"), 3),
        (DataError("d"), 3),
        (SpecError("s"), 3),
        (PreconditionError("p"), 3),
        (PermissionError(13, "Permission denied", "out/x"), 3),
        (MemoryError(), 3),
        (InfeasibleError("i"), 4),
        (AccuracyError("a"), 5),
        (PassContractError("c"), 1),
        (ZeroDivisionError("z"), 1),
    ],
)
def test_every_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_messages_name_the_file_and_the_pass() -> None:
    assert describe(OSError(28, "No space left on device", "out/a")) == (
        "out/a cannot be read or written: No space left on device"
    )
    error = ModelError("conv1: no")
    error.add_note("in pass 2 of 3, equalize")
    assert describe(error) == "conv1: no\n(in pass 2 of 3, equalize)"


def raising(error: BaseException) -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None)

    @app.command(cls=Command)
    def fail(debug: options.DEBUG = False) -> None:
        raise error

    return app


def test_a_bug_is_called_one_and_shows_its_traceback_on_demand_only() -> None:
    app = raising(ValueError("surprise"))
    quiet, loud = CliRunner().invoke(app, []), CliRunner().invoke(app, ["--debug"])
    assert quiet.exit_code == loud.exit_code == 1
    assert "this is a bug in qtool" in quiet.stderr
    assert "ValueError: surprise" in quiet.stderr
    assert "Traceback" not in quiet.output
    assert "Traceback" in loud.stderr


def test_an_error_is_written_to_standard_error_only() -> None:
    result = CliRunner().invoke(raising(UsageError("--bits: no")), [])
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "error: --bits: no\n")


def test_an_interrupt_ends_with_130() -> None:
    assert CliRunner().invoke(raising(KeyboardInterrupt()), []).exit_code == 130


def test_an_exit_is_left_alone() -> None:
    assert CliRunner().invoke(raising(typer.Exit(7)), []).exit_code == 7
